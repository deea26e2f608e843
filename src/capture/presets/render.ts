import { renderAidbox } from './aidbox/render.ts';
import { renderWithColumns } from './columns/render.ts';
import { renderHapi } from './hapi/render.ts';
import { renderMedplum } from './medplum/render.ts';
import type { Rendering } from './rendering.ts';
import type { SourceRow } from './source-row.ts';

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
    case 'hapi':
      return renderHapi(row, body);
    case 'medplum':
      return rendering.extended ? body : renderMedplum(body);
    case 'aidbox':
      return renderAidbox(row, body, rendering.dialect, rendering.createdAtUrl);
  }
}
