import type { DeidentifierSource } from '../deidentify/source.ts';
import type { JSONWebKeySet } from 'jose';
import type { Redaction } from '../fhir/redaction.ts';
import type { ExportLevel } from '../events/request.ts';

/** The access file, parsed and checked. */
export interface AccessPolicy {
  /** sha256 of the file's bytes, lower hex. */
  readonly hash: string;
  /** The token endpoint of Headwater itself; undefined if only external issuers issue tokens. */
  readonly embedded: EmbeddedIssuer | undefined;
  readonly external: readonly ExternalIssuer[];
  /** Clients of the embedded issuer, by id. */
  readonly clients: ReadonlyMap<string, Client>;
  readonly roles: ReadonlyMap<string, Role>;
  /** The configurations that de-identify, by their names. */
  readonly deidentification?: ReadonlyMap<string, DeidentifierSource>;
}

export type AssertionAlgorithm = 'RS384' | 'ES384';

export interface EmbeddedIssuer {
  /** Lifetime of an access token, in s; 300 at most. */
  readonly expiresIn: number;
  /** Signature algorithms of the assertions of its clients. */
  readonly algorithms: readonly AssertionAlgorithm[];
  /** The tolerated error of a client's clock, in s; 0 to 120. */
  readonly tolerance: number;
  /** Hosts that keys may be fetched from although their addresses are private. */
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
  /** The `iss` of its tokens: a URL below which the issuer publishes its metadata. */
  readonly issuer: string;
  /** `jwt`: its tokens are JWT, which its keys verify. Otherwise its tokens are opaque, and the issuer itself verifies each of them. */
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
  /** The lifetime of a cached answer, in s; 30 at most. */
  readonly cacheSeconds: number;
}

/** Paths of claims, with dots between names: `realm_access.roles`. */
export interface Claims {
  readonly client: string;
  readonly roles: string;
  readonly scope: string;
  readonly patient: string;
  /** Paths of claims by names of attributes. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Role {
  readonly export: {
    readonly levels: readonly ExportLevel[];
    /** The Groups that may be exported: all, the listed ones, or the ones that an attribute of the client names. */
    readonly groups: '*' | readonly string[] | { readonly claim: string };
    /** The most unfinished exports at a time; undefined = the value of the settings. */
    readonly maxUnfinished?: number | undefined;
    /** The most exports of a client in 24 hours; undefined = no limit. */
    readonly perDay?: number | undefined;
    /** Hours that files are kept after the end of an export; undefined = the value of the settings. */
    readonly retentionHours?: number | undefined;
    /** Whether a lenient export reports to the client the types that its role withholds. */
    readonly withheld: 'told' | 'silent';
    /** Names of the configurations that de-identify an export on request. */
    readonly deidentify?: readonly string[];
    /** Whether every export is de-identified. */
    readonly requireDeidentify?: boolean;
  };
  readonly rules: readonly Rule[];
}

export interface Rule {
  readonly id: string;
  readonly effect: 'allow' | 'deny';
  readonly types: '*' | readonly string[];
  readonly where: Condition;
  /** Searches of which one must hold as well, such as `Observation?category=laboratory`; `*?…` is one of every type. */
  readonly criteria?: readonly string[] | undefined;
  /** `exclude`: the condition must hold for every patient of a resource, not only for one of them. */
  readonly shared: 'any' | 'exclude';
  readonly redact: readonly Redaction[];
}

/** The resources that a rule is about. The metadata of records decides. */
export type Condition =
  | { readonly kind: 'everything' }
  /** In the compartment of the token's patient. */
  | { readonly kind: 'own' }
  /** In the compartment of any patient. */
  | { readonly kind: 'any' }
  /** In the compartment of a member of these Groups. */
  | { readonly kind: 'groups'; readonly groups: readonly string[] | { readonly claim: string } };
