import {
  COMPATIBILITY,
  SchemaRegistry as RegistryClient,
  SchemaType,
} from '@kafkajs/confluent-schema-registry';
import { HeadwaterError, messageOf } from '../../../base/errors.ts';
import type { AvroSchema } from '../../../../topics/avro-schema.ts';
import type { SchemaIds, SubjectSchemas } from '../../../events/schema-ids.ts';
import { subjectName } from '../../../../topics/declaration.ts';
import type { TopicDeclaration } from '../../../../topics/declaration.ts';

const PATIENCE = 15_000;

export interface SchemaRegistryOptions {
  /** URL of the Confluent-compatible API; a user name and password in it are sent as basic authentication. */
  readonly url: string;
  /** The prefix of the subjects. */
  readonly prefix: string;
}

/**
 * The schemas of the log, under their subjects in a Confluent-compatible registry. Throws `unavailable` when it does not
 * answer, `conflict` when it refuses a schema. Everything here can be repeated, and done by several processes at once.
 */
export class SchemaRegistry {
  readonly #client: RegistryClient;
  readonly #host: string;
  readonly #prefix: string;

  constructor({ url, prefix }: SchemaRegistryOptions) {
    const parsed = parseUrl(url);
    const username = decodeURIComponent(parsed.username);
    const password = decodeURIComponent(parsed.password);
    this.#host = `${parsed.origin}${parsed.pathname.replace(/\/+$/, '')}`;
    this.#client = new RegistryClient({
      host: this.#host,
      clientId: 'headwater',
      retry: { retries: 1 }, // a caller with more patience tries again with its own backoff
      ...(username !== '' && { auth: { username, password } }),
    });
    this.#prefix = prefix;
  }

  /** Registers the schemas; none when they are already. Each subject accepts only backward compatible ones from then on. */
  async register(declarations: readonly TopicDeclaration[]): Promise<void> {
    const compatibility = COMPATIBILITY.BACKWARD;
    for (const { subject: name, schema } of distinct(declarations)) {
      const subject = this.#subject(name);
      await this.#asking(name, async () => {
        try {
          await this.#client.register(confluent(schema), { subject, compatibility });
        } catch (error) {
          // If processes register at the same time, all but one may meet a compatibility that is not fully set.
          if (!isRefusal(error) || (await this.#find(name, schema)) === undefined) throw error;
        }
      });
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

  /** Returns the schema ids that codecs need, for every subject. */
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
    const name = this.#subject(subject);
    return this.#ifThere(subject, () => this.#client.getRegistryIdBySchema(name, confluent(schema)));
  }

  /** Versions count from 1 and none of ours is ever deleted. */
  async #writers(subject: string): Promise<ReadonlyMap<number, AvroSchema>> {
    const writers = new Map<number, AvroSchema>();
    for (let version = 1; ; version++) {
      const id = await this.#ifThere(subject, () =>
        this.#client.getRegistryId(this.#subject(subject), version),
      );
      if (id === undefined) return writers;
      const type = await this.#asking(subject, () => this.#client.getSchema(id));
      writers.set(id, JSON.parse(JSON.stringify(type)) as AvroSchema); // avsc's types print as their schemas
    }
  }

  #subject(subject: string): string {
    return subjectName(this.#prefix, subject);
  }

  async #ifThere<T>(subject: string, ask: () => Promise<T>): Promise<T | undefined> {
    return this.#asking(subject, async () => {
      try {
        return await ask();
      } catch (error) {
        // For a schema that a subject does not have, the client throws an error of its own, without the status.
        if (statusOf(error) === 404 || (error as Error).name === 'ConfluentSchemaRegistryError')
          return undefined;
        throw error;
      }
    });
  }

  async #asking<T>(subject: string, ask: () => Promise<T>): Promise<T> {
    const { promise: tooLong, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`no answer for ${PATIENCE / 1000} s`)), PATIENCE);
    try {
      return await Promise.race([ask(), tooLong]); // the client waits forever
    } catch (error) {
      throw this.#errorOf(subject, error);
    } finally {
      clearTimeout(timer);
    }
  }

  #errorOf(subject: string, cause: unknown): HeadwaterError {
    const status = statusOf(cause);
    // The client reports 400 when no server answers.
    const reason = messageOf(cause).replace(/^.*Error, status 400: (?=\w+ E[A-Z]+\b)/, '');
    if (status === 401 || status === 403) {
      const message = 'the schema registry refuses the credentials; correct HEADWATER_REGISTRY_URL';
      return new HeadwaterError('bad-config', message, { cause });
    }
    if (isRefusal(cause)) {
      return new HeadwaterError(
        'conflict',
        `the registry refuses the schema of ${this.#subject(subject)}: ${reason}`,
        {
          cause,
          subject,
        },
      );
    }
    const message = `the schema registry at ${this.#host} does not answer as it should (${reason})`;
    return new HeadwaterError('unavailable', message, { cause });
  }
}

function confluent(schema: AvroSchema): { type: SchemaType.AVRO; schema: string } {
  return { type: SchemaType.AVRO, schema: JSON.stringify(schema) };
}

function statusOf(error: unknown): number | undefined {
  const { status } = error as { status?: unknown };
  return typeof status === 'number' ? status : undefined;
}

function isRefusal(error: unknown): boolean {
  const status = statusOf(error);
  return (
    status === 409 || status === 422 || (error as Error).name === 'ConfluentSchemaRegistryCompatibilityError'
  );
}

function distinct(declarations: readonly TopicDeclaration[]): readonly TopicDeclaration[] {
  return [...new Map(declarations.map((declaration) => [declaration.subject, declaration])).values()];
}

function parseUrl(url: string): URL {
  if (URL.canParse(url)) return new URL(url);
  throw new HeadwaterError('bad-config', 'HEADWATER_REGISTRY_URL is not a URL');
}
