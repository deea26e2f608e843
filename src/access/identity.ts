/** The client of a request, for which an issuer vouches. */
export interface Identity {
  /** The `iss` of the tokens: a URL. */
  readonly issuer: string;
  /** Id of the client, unique with its issuer. A job belongs to both. */
  readonly client: string;
  /** The `sub` of the token, if it is not the client itself. */
  readonly subject: string | undefined;
  /** Id of the only patient that the token is for. */
  readonly patient: string | undefined;
  /** Names of roles in the access file, in the order in which their rules are tried. */
  readonly roles: readonly string[];
  /** SMART scopes of the token, such as `system/*.rs`. */
  readonly scopes: readonly string[];
  /** Values that rules refer to, such as `groups`. They come from the registration of the client or from claims of its token. */
  readonly attributes: Readonly<Record<string, readonly string[]>>;
  /** The `jti` of the token. */
  readonly tokenId: string | undefined;
}

/** Verifies the access tokens of one issuer. */
export interface TokenVerifier {
  /** The `iss` of its tokens. */
  readonly issuer: string;
  /**
   * Throws `invalid-token`, `expired-token`, or `unavailable` while the issuer or its keys are out of reach. The message of
   * `invalid-token` is for logs: no answer to a client contains the reason.
   * @param now ms since 1970
   */
  verify(token: string, now: number): Promise<Identity>;
}
