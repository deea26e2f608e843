/** How the body of a row becomes the resource as the server's own API gives it. It can be sent to a thread. */
export type Rendering =
  /** The body is the resource. */
  | { readonly kind: 'as stored' }
  /** meta.versionId and meta.lastUpdated come from columns. */
  | { readonly kind: 'meta from columns' }
  /** The id and most of meta come from columns and tables of HAPI. */
  | { readonly kind: 'hapi' }
  /** Members of meta that the API hides go, unless it is asked to show them. */
  | { readonly kind: 'medplum'; readonly extended: boolean }
  /** The body is in Aidbox's form. */
  | { readonly kind: 'aidbox'; readonly dialect: 'aidbox' | 'fhirbase'; readonly createdAtUrl: string };

export const AS_STORED: Rendering = { kind: 'as stored' };
