import { parentPort, workerData } from 'node:worker_threads';
import { References } from '../fhir/reference.ts';
import { derive } from './change-deriver.ts';
import type { ChangeThreadData, Derivation } from './change-deriver.ts';
import type { RowRules } from './read-row.ts';
import type { SourceRow } from './presets/source-row.ts';

// The thread in which changes of large rows are made.
const { maxBytes, baseUrls, rendering } = workerData as ChangeThreadData;
const rules: RowRules = { maxBytes, references: new References(baseUrls), ...(rendering && { rendering }) };

parentPort?.on('message', (derivation: Derivation) => {
  const changes = derive(withBuffers(derivation), rules);
  parentPort?.postMessage(changes, [...new Set(changes.flatMap(({ change }) => ownBytes(change.body)))]);
});

/** Returns the memory that can be transferred instead of copied. Small buffers share a pool of Node, so they are copied. */
function ownBytes(body: Uint8Array | null): ArrayBuffer[] {
  return body && body.length >= Buffer.poolSize ? [body.buffer as ArrayBuffer] : [];
}

/** A Buffer that is sent arrives as a plain array of bytes. */
function withBuffers(derivation: Derivation): Derivation {
  if (derivation.of === 'load') return { ...derivation, row: withBuffer(derivation.row) };
  const { old, row } = derivation;
  return { ...derivation, old: old && withBuffer(old), row: row && withBuffer(row) };
}

function withBuffer(row: SourceRow): SourceRow {
  return row.body ? { ...row, body: Buffer.from(row.body.buffer) } : row;
}
