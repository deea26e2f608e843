import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';

interface Ref {
  readonly $ref: string;
}
interface ResponseObject {
  readonly headers?: Readonly<Record<string, { readonly required: boolean; readonly schema: object }>>;
  readonly content: Readonly<Record<string, { readonly schema?: object }>>;
}
interface OperationObject {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, ResponseObject | Ref>>;
}
type PathItem = Readonly<Record<string, OperationObject>>;

export interface Document {
  readonly openapi: string;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: { readonly responses: Readonly<Record<string, ResponseObject>> };
}

const METHODS = ['get', 'head', 'post', 'delete'];
/** Every operation may answer with these, and says so in the same words. */
const ANYWHERE = ['4XX', '500', '503'];

/** An OpenAPI document to hold answers against. Remembers which of those it has were seen. */
export class OpenApiDocument {
  readonly document: Document;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #seen = new Set<string>();

  constructor(document: Document) {
    this.document = document;
    ajvFormats.default(this.#ajv);
    this.#ajv.addSchema(document, 'openapi.json');
  }

  /** As `get /fhir/metadata`. */
  get operations(): string[] {
    return Object.entries(this.document.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => method in item).map((method) => `${method} ${path}`),
    );
  }

  /** Answers that the document has and that were not seen, without those that anything may be answered with. */
  get unseen(): string[] {
    return Object.entries(this.document.paths)
      .flatMap(([path, item]) =>
        METHODS.flatMap((method) =>
          Object.keys(item[method]?.responses ?? {}).map((status) => [method, path, status]),
        ),
      )
      .filter(([, , status = '']) => !ANYWHERE.includes(status))
      .map((parts) => parts.join(' '))
      .filter((answer) => !this.#seen.has(answer));
  }

  /** Fails unless the document has this answer: status, headers, media type and body. */
  async check(method: string, response: Response): Promise<void> {
    const path = this.#pathOf(new URL(response.url).pathname);
    const operation = this.document.paths[path]?.[method.toLowerCase()];
    assert.ok(operation, `${method} ${path} is not in the document`);
    const status = [String(response.status), `${String(response.status)[0]}XX`].find(
      (code) => code in operation.responses,
    );
    assert.ok(status, `${operation.operationId} has no answer ${response.status}`);
    this.#seen.add(`${method.toLowerCase()} ${path} ${status}`);
    const found = operation.responses[status];
    assert.ok(found);
    const answer = '$ref' in found ? this.#resolve(found) : found;
    const where = `${operation.operationId} ${response.status}`;
    for (const [name, { required, schema }] of Object.entries(answer.headers ?? {})) {
      const value = response.headers.get(name);
      assert.ok(value !== null || !required, `${where} lacks ${name}`);
      if (value !== null)
        this.#validate(
          schema,
          (schema as { type?: string }).type === 'integer' ? Number(value) : value,
          `${where} ${name}`,
        );
    }
    await this.#checkBody(answer, response, where);
  }

  async #checkBody({ content }: ResponseObject, response: Response, where: string): Promise<void> {
    const text = await response.clone().text();
    const type = response.headers.get('content-type')?.split(';')[0];
    if (text === '') return;
    assert.ok(type, `${where} has a body of no type`);
    const media = content[type];
    assert.ok(media, `${where} is not said to be ${type}`);
    if (media.schema) this.#validate(media.schema, type.endsWith('json') ? JSON.parse(text) : text, where);
  }

  #validate(schema: object, value: unknown, where: string): void {
    // Its references are to the document, which is the base of what it stands in.
    const local = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"openapi.json#/')) as object;
    assert.ok(this.#ajv.validate(local, value), `${where}: ${this.#ajv.errorsText()}`);
  }

  #resolve({ $ref }: Ref): ResponseObject {
    const response = this.document.components.responses[$ref.replace('#/components/responses/', '')];
    assert.ok(response, `there is no ${$ref}`);
    return response;
  }

  #pathOf(pathname: string): string {
    const path = Object.keys(this.document.paths).find((template) => {
      const parts = template.split('/');
      const given = pathname.replaceAll('%24', '$').split('/');
      return (
        parts.length === given.length &&
        parts.every((part, i) => (part.startsWith('{') ? given[i] !== '' : part === given[i]))
      );
    });
    assert.ok(path, `${pathname} is not in the document`);
    return path;
  }
}
