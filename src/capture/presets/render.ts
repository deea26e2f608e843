import type { SourceRow } from './preset.ts';
import { renderWithColumns } from './columns/render.ts';

/** How the body of a row becomes the resource as the server's own API gives it. It can be sent to a thread. */
export type Rendering =
  /** The body is the resource. */
  | { readonly kind: 'as stored' }
  /** meta.versionId and meta.lastUpdated come from columns. */
  | { readonly kind: 'meta from columns' };

export const AS_STORED: Rendering = { kind: 'as stored' };

/**
 * Returns the resource as the server's own API gives it, with every byte of the body that it does not have to change. Throws `corrupt`
 * if the body cannot be read; the message holds nothing of it.
 */
export function render(row: SourceRow, body: Buffer, rendering: Rendering): Buffer {
  switch (rendering.kind) {
    case 'as stored':
      return body;
    case 'meta from columns':
      return renderWithColumns(row, body);
  }
}
