// Writes docs/api: what the service says at /openapi.json and /asyncapi.json with the settings it has by default, and the form of the access file.
import { writeFileSync } from 'node:fs';
import { parseSettings } from '../src/config/settings.ts';
import { asyncApi } from '../src/events/asyncapi.ts';
import { accessCasesJsonSchema } from '../src/access/access-cases.ts';
import { accessFileJsonSchema } from '../src/access/access-schema.ts';
import { openApi } from '../src/http/openapi.ts';

const settings = parseSettings({}, []);
const folder = new URL('../docs/api/', import.meta.url);
for (const [name, document] of [
  ['openapi.json', openApi(settings)],
  ['asyncapi.json', asyncApi(settings)],
  ['access-file.schema.json', accessFileJsonSchema()],
  ['access-cases.schema.json', accessCasesJsonSchema()],
]) {
  writeFileSync(new URL(name, folder), `${JSON.stringify(document, undefined, 2)}\n`);
}
