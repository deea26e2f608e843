import { offset } from '../base/positions.ts';
import { hash32 } from '../base/hash32.ts';
import { MANY_PATIENTS, MOST_PATIENTS } from '../events/resource-change.ts';
import type { Zone } from '../events/zone.ts';
import type { StoredBatch } from '../log/log.ts';

/** A zone ends with the batch that makes it as large: about what is worth a read of its own. */
const ZONE_BYTES = 96 << 10;

interface OpenZone {
  from: number;
  to: number;
  bytes: number;
  readonly patients: Set<string>;
}

/**
 * Tells, for each stretch of the resource topics, which patients it is about. What is open when capture ends is lost, and what
 * no zone covers is read; so a crash costs a reader some time and nothing else.
 */
export class ZoneWriter {
  readonly #write: (zone: Zone) => void;
  readonly #typeOf: (topic: string) => string | undefined;
  readonly #open = new Map<string, OpenZone>();
  /** Where the last zone of a partition ended. */
  readonly #ends = new Map<string, number>();

  /** @param typeOf the resource type of a topic; undefined for other topics */
  constructor(write: (zone: Zone) => void, typeOf: (topic: string) => string | undefined) {
    this.#write = write;
    this.#typeOf = typeOf;
  }

  /** In the order of a partition's offsets; all that lies between two batches is markers of transactions, so zones join over them. */
  stored({ topic, partition, from, to, bytes, patients }: StoredBatch): void {
    if (patients === undefined) return;
    const place = `${topic}/${partition}`;
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

  /** Writes what is open as well. */
  close(): void {
    for (const [place, zone] of this.#open) this.#close(place, zone);
  }

  #close(place: string, { from, to, patients }: OpenZone): void {
    this.#open.delete(place);
    this.#ends.set(place, to);
    const at = place.lastIndexOf('/');
    const type = this.#typeOf(place.slice(0, at));
    // A stretch about more patients than that says nothing worth keeping.
    if (type === undefined || patients.size > MOST_PATIENTS || patients.has(MANY_PATIENTS)) return;
    this.#write({
      type,
      partition: Number(place.slice(at + 1)),
      from: offset(from),
      to: offset(to),
      patients: Uint32Array.from(new Set([...patients].map(hash32))).sort(),
    });
  }
}
