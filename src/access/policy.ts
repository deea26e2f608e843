import type { JSONWebKeySet } from 'jose';
import type { Redaction } from '../fhir/redaction.ts';
import type { ExportLevel } from '../events/request.ts';

/** The access file, parsed and checked. */
export interface AccessPolicy {
  /** sha256 of the file's bytes, lower hex. */
  readonly hash: string;
  /** The token endpoint of Headwater itself; undefined if only others issue tokens. */
  readonly embedded: EmbeddedIssuer | undefined;
  readonly external: readonly ExternalIssuer[];
  /** Clients of the embedded issuer, by id. */
  readonly clients: ReadonlyMap<string, Client>;
  readonly roles: ReadonlyMap<string, Role>;
}

export type AssertionAlgorithm = 'RS384' | 'ES384';

export interface EmbeddedIssuer {
  /** Lifetime of an access token, in s; 300 at most. */
  readonly expiresIn: number;
  /** Signature algorithms of the assertions of its clients. */
  readonly algorithms: readonly AssertionAlgorithm[];
  /** How far a client's clock may be off, in s; 0 to 120. */
  readonly tolerance: number;
  /** Hosts whose keys may be fetched although their addresses are private. */
  readonly allowedJwksHosts: readonly string[];
}

export interface Client {
  readonly keys: { readonly url: string } | { readonly set: JSONWebKeySet };
  /** SMART scopes that it may ask for, such as `system/*.rs`. */
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  readonly attributes: Readonly<Record<string, readonly string[]>>;
  readonly disabled: boolean;
}

export interface ExternalIssuer {
  readonly name: string;
  /** The `iss` of its tokens; its metadata is found below it. */
  readonly issuer: string;
  /** `jwt`: its tokens are JWT, verified by its keys; otherwise they are opaque, and it is asked about each. */
  readonly validate: 'jwt' | Introspection;
  /** Signature algorithms of its tokens, such as RS256. */
  readonly algorithms: readonly string[];
  /** The `aud` that its tokens must have. */
  readonly audience: string;
  readonly claims: Claims;
  /** Roles of the access file, by the values of the claim. */
  readonly roles: ReadonlyMap<string, string>;
  readonly allowedJwksHosts: readonly string[];
}

/** OAuth 2.0 Token Introspection (RFC 7662). */
export interface Introspection {
  readonly clientId: string;
  readonly clientSecret: string;
  /** For how long an answer is kept, in s; 30 at most. */
  readonly cacheSeconds: number;
}

/** Paths of claims, with dots between names: `realm_access.roles`. */
export interface Claims {
  readonly client: string;
  readonly roles: string;
  readonly scope: string;
  readonly patient: string;
  /** Names of attributes and the claims that they are taken from. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Role {
  readonly export: {
    readonly levels: readonly ExportLevel[];
    /** The Groups that may be exported: all, these, or those that an attribute of the client names. */
    readonly groups: '*' | readonly string[] | { readonly claim: string };
    /** Unfinished exports at a time, at most; undefined = as the settings say. */
    readonly maxUnfinished?: number | undefined;
    /** Whether the client learns which types its role withholds. */
    readonly withheld: 'told' | 'silent';
  };
  readonly rules: readonly Rule[];
}

export interface Rule {
  readonly id: string;
  readonly effect: 'allow' | 'deny';
  readonly types: '*' | readonly string[];
  readonly where: Condition;
  /** `exclude`: every patient that a resource names must be allowed. */
  readonly shared: 'any' | 'exclude';
  readonly redact: readonly Redaction[];
}

/** The part of the data that a rule is about, by the metadata of records. */
export type Condition =
  | { readonly kind: 'everything' }
  /** In the compartment of the token's patient. */
  | { readonly kind: 'own' }
  /** In the compartment of any patient. */
  | { readonly kind: 'any' }
  /** In the compartment of a member of these Groups. */
  | { readonly kind: 'groups'; readonly groups: readonly string[] | { readonly claim: string } };
