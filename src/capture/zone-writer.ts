import { offset } from '../base/positions.ts';
import { hash32 } from '../base/hash32.ts';
import { MANY_PATIENTS, MAX_PATIENTS } from '../events/resource-change.ts';
import type { Zone } from '../events/zone.ts';
import type { StoredBatch } from '../log/log.ts';

/** A zone ends with the batch that makes it this large. A separate read of a smaller stretch would save nothing. */
const ZONE_BYTES = 96 << 10;

interface OpenZone {
  from: number;
  to: number;
  bytes: number;
  readonly patients: Set<string>;
}

/**
 * Writes, for each stretch of the resource topics, which patients it is about. A zone that is open when capture ends is lost.
 * Readers read every stretch that no zone covers, so a crash only costs them time.
 */
export class ZoneWriter {
  readonly #write: (zone: Zone) => void;
  readonly #open = new Map<string, OpenZone>();
  /** The end of the last zone of each partition. */
  readonly #ends = new Map<string, number>();

  constructor(write: (zone: Zone) => void) {
    this.#write = write;
  }

  /**
   * Takes a batch of the topic of a type, in the order of the offsets of its partition. Only markers of transactions lie between two
   * batches, so a zone includes them.
   */
  stored(type: string, { partition, from, to, bytes, patients }: StoredBatch): void {
    if (patients === undefined) return;
    const place = `${type}/${partition}`;
    let zone = this.#open.get(place);
    if (!zone) {
      zone = { from: this.#ends.get(place) ?? from, to, bytes: 0, patients: new Set() };
      this.#open.set(place, zone);
    }
    zone.to = to;
    zone.bytes += bytes;
    for (const patient of patients) zone.patients.add(patient);
    if (zone.bytes >= ZONE_BYTES) this.#close(place, zone);
  }

  /** Writes the open zones. */
  close(): void {
    for (const [place, zone] of this.#open) this.#close(place, zone);
  }

  #close(place: string, { from, to, patients }: OpenZone): void {
    this.#open.delete(place);
    this.#ends.set(place, to);
    const at = place.lastIndexOf('/');
    // A zone about more patients would save no reads.
    if (patients.size > MAX_PATIENTS || patients.has(MANY_PATIENTS)) return;
    this.#write({
      type: place.slice(0, at),
      partition: Number(place.slice(at + 1)),
      from: offset(from),
      to: offset(to),
      patients: Uint32Array.from(new Set([...patients].map(hash32))).sort(),
    });
  }
}
