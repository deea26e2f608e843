import { withMeta } from '../meta.ts';

/** Members of meta that Medplum's API leaves out unless the header `X-Medplum: extended` is sent (`removeHiddenFields`). */
const HIDDEN = ['author', 'project', 'account', 'accounts', 'compartment'];

export function renderMedplum(body: Buffer): Buffer {
  return withMeta(body, [], { dropped: HIDDEN });
}
