// Makes src/fhir/types-r4.json from R4's StructureDefinitions: the elements that are not primitive, by type and by path of backbone elements.
// node scripts/fhir-types.mjs profiles-types.xml profiles-resources.xml > src/fhir/types-r4.json
// Both files are in ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4:7.0.0, below org/hl7/fhir/r4/model/profile (FHIR 4.0.1, CC0).
import { readFileSync } from 'node:fs';

const RESOURCE = /^(Resource|DomainResource)$/;
const all = process.argv.slice(2).map((file) => readFileSync(file, 'utf8'));
const definitions = all.flatMap((xml) => [
  ...xml.matchAll(/<StructureDefinition [\s\S]*?<\/StructureDefinition>/g),
]);
/** A choice of more types is one of all of them. */
const ANY = 30;
const table = {};
const primitive = new Set();

const first = (xml, tag) => new RegExp(`<${tag} value="([^"]*)"`).exec(xml)?.[1];

for (const [xml] of definitions) {
  const [type, kind, abstract] = [first(xml, 'type'), first(xml, 'kind'), first(xml, 'abstract')];
  if (kind === 'primitive-type') primitive.add(type);
  if (first(xml, 'derivation') === 'constraint' || kind === 'primitive-type' || kind === 'logical') continue;
  if (abstract === 'true' && !/^(BackboneElement|Element)$/.test(type)) continue;
  const snapshot = /<snapshot>([\s\S]*)<\/snapshot>/.exec(xml)?.[1] ?? '';
  for (const [, element] of snapshot.matchAll(/<element id="[^"]*">([\s\S]*?)<\/element>/g)) {
    const path = first(element, 'path');
    const at = path.lastIndexOf('.');
    if (at < 0) continue;
    const [parent, name] = [path.slice(0, at), path.slice(at + 1)];
    const codes = [...element.matchAll(/<type>\s*<code value="([^"]*)"/g)].map(([, code]) => code);
    const same = /<contentReference value="#([^"]*)"/.exec(element)?.[1];
    (table[parent] ??= []).push({ name, path, codes, same });
  }
}

const lines = Object.entries(table)
  .map(([parent, elements]) => [parent, elements.flatMap((element) => told(element) ?? [])])
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([parent, words]) => `  ${JSON.stringify(parent)}: ${JSON.stringify(words.join(' '))}`);
process.stdout.write(`{\n${lines.join(',\n')}\n}\n`);

/** One word for an element; undefined for a primitive one. */
function told({ name, path, codes, same }) {
  if (same !== undefined) return `${name}>${same}`;
  if (name.endsWith('[x]')) return `${name.slice(0, -3)}[${codes.length > ANY ? '*' : codes.join('|')}]`;
  const [code] = codes;
  if (code === undefined || code.startsWith('http:') || primitive.has(code) || code === 'xhtml')
    return undefined;
  if (RESOURCE.test(code)) return `${name}>*`;
  return `${name}>${/^(BackboneElement|Element)$/.test(code) ? path : code}`;
}
