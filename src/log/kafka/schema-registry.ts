import { HeadwaterError, messageOf } from '../../base/errors.ts';
import type { AvroSchema } from '../../events/avro-schema.ts';
import type { SchemaIds, SubjectSchemas } from '../../events/schema-ids.ts';
import { subjectName } from '../topic-declaration.ts';
import type { TopicDeclaration } from '../topic-declaration.ts';

const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json';
const TIMEOUT = 10_000;

export interface SchemaRegistryOptions {
  /** Of the Confluent-compatible API; a user name and password in it are sent as basic authentication. */
  readonly url: string;
  /** Of the subjects. */
  readonly prefix: string;
}

/**
 * The schemas of the log, under their subjects in a Confluent-compatible registry. Throws `unavailable` when it does not
 * answer, `conflict` when it refuses a schema. Everything here can be repeated, and done by several processes at once.
 */
export class SchemaRegistry {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #prefix: string;

  constructor({ url, prefix }: SchemaRegistryOptions) {
    const parsed = parseUrl(url);
    const credentials = `${decodeURIComponent(parsed.username)}:${decodeURIComponent(parsed.password)}`;
    this.#headers = {
      'content-type': CONTENT_TYPE,
      ...(parsed.username !== '' && {
        authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
      }),
    };
    this.#base = `${parsed.origin}${parsed.pathname.replace(/\/+$/, '')}`;
    this.#prefix = prefix;
  }

  /** Registers the schemas; none when they are already. Each subject accepts only backward compatible ones from then on. */
  async register(declarations: readonly TopicDeclaration[]): Promise<void> {
    for (const { subject, schema } of distinct(declarations)) {
      const name = this.#subject(subject);
      const answer = await this.#call('POST', `/subjects/${name}/versions`, {
        schema: JSON.stringify(schema),
      });
      if (answer.status === 409 || answer.status === 422) {
        throw new HeadwaterError(
          'conflict',
          `the registry refuses the schema of ${name}: ${errorOf(answer)}`,
          { subject },
        );
      }
      this.#ok(answer);
      await this.#requireBackward(name);
    }
  }

  /** The subjects whose schema is not registered. */
  async missing(declarations: readonly TopicDeclaration[]): Promise<readonly string[]> {
    const found = await Promise.all(
      distinct(declarations).map(async ({ subject, schema }) => ({
        subject,
        id: await this.#find(subject, schema),
      })),
    );
    return found.filter(({ id }) => id === undefined).map(({ subject }) => this.#subject(subject));
  }

  /** What codecs need to know, for every subject. */
  async resolve(declarations: readonly TopicDeclaration[]): Promise<SchemaIds> {
    const resolved = distinct(declarations).map(async ({ subject, schema }) => {
      const id = await this.#find(subject, schema);
      if (id === undefined) {
        const message = `the schema of ${this.#subject(subject)} is not registered; run "headwater topics"`;
        throw new HeadwaterError('unavailable', message, { subject });
      }
      const schemas: SubjectSchemas = { id, writers: await this.#writers(subject) };
      return [subject, schemas] as const;
    });
    return new Map(await Promise.all(resolved));
  }

  async #find(subject: string, schema: AvroSchema): Promise<number | undefined> {
    const answer = await this.#call('POST', `/subjects/${this.#subject(subject)}`, {
      schema: JSON.stringify(schema),
    });
    return answer.status === 404 ? undefined : idOf(this.#ok(answer));
  }

  async #writers(subject: string): Promise<ReadonlyMap<number, AvroSchema>> {
    const path = `/subjects/${this.#subject(subject)}/versions`;
    const versions = this.#ok(await this.#call('GET', path)) as number[];
    const schemas = versions.map(async (version) => {
      const found = this.#ok(await this.#call('GET', `${path}/${version}`)) as { id: number; schema: string };
      return [found.id, JSON.parse(found.schema) as AvroSchema] as const;
    });
    return new Map(await Promise.all(schemas));
  }

  async #requireBackward(name: string): Promise<void> {
    const config = await this.#call('GET', `/config/${name}`);
    if (
      config.status === 200 &&
      (config.body as { compatibilityLevel?: string }).compatibilityLevel === 'BACKWARD'
    )
      return;
    const answer = await this.#call('PUT', `/config/${name}`, { compatibility: 'BACKWARD' });
    if (answer.status !== 409) this.#ok(answer); // 409: another process has just set it
  }

  #subject(subject: string): string {
    return encodeURIComponent(subjectName(this.#prefix, subject));
  }

  async #call(method: string, path: string, body?: object): Promise<Answer> {
    const url = `${this.#base}${path}`;
    try {
      const response = await fetch(url, {
        method,
        headers: this.#headers,
        signal: AbortSignal.timeout(TIMEOUT),
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { url, status: response.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      const message = `the schema registry at ${this.#base} does not answer (${messageOf(cause)})`;
      throw new HeadwaterError('unavailable', message, { cause: error });
    }
  }

  #ok(answer: Answer): unknown {
    if (answer.status === 401 || answer.status === 403) {
      throw new HeadwaterError(
        'bad-config',
        `the schema registry refuses the credentials; correct HEADWATER_REGISTRY_URL`,
      );
    }
    if (answer.status === 200 || answer.status === 204) return answer.body;
    throw new HeadwaterError('unavailable', `${answer.url} answers ${answer.status}: ${errorOf(answer)}`);
  }
}

interface Answer {
  readonly url: string;
  readonly status: number;
  readonly body: unknown;
}

function distinct(declarations: readonly TopicDeclaration[]): readonly TopicDeclaration[] {
  return [...new Map(declarations.map((declaration) => [declaration.subject, declaration])).values()];
}

function idOf(body: unknown): number {
  const { id } = body as { id?: unknown };
  if (typeof id !== 'number')
    throw new HeadwaterError('unavailable', 'the schema registry answers without an id');
  return id;
}

function errorOf({ body }: Answer): string {
  const message = (body as { message?: unknown } | undefined)?.message;
  return typeof message === 'string' ? message : 'no reason given';
}

function parseUrl(url: string): URL {
  if (URL.canParse(url)) return new URL(url);
  throw new HeadwaterError('bad-config', 'HEADWATER_REGISTRY_URL is not a URL');
}
