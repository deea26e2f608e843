/** Decides by key which related resources belong to an export, and which its client has: see Selection. */
export interface Chosen {
  readonly now: (key: string) => boolean;
  /** For certain. */
  readonly before: (key: string) => boolean;
  /** Returns true if the client may have had it, also if that is unknown. */
  readonly maybe: (key: string) => boolean;
}
