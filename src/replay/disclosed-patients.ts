import { PATIENT_HASH_BYTES, patientHash } from '../events/audit.ts';
import type { DisclosedPatients } from '../events/audit.ts';
import type { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import { NOWHERE } from './file-sink.ts';
import type { Shape } from './shape.ts';
import type { TaskRun } from './task-run.ts';

/** More patients than these are known by hashes. */
export const MAX_NAMED = 10_000;
/** If there are more patients than these, the task counts as one that wrote about all. */
export const MAX_HASHED = 1_000_000;

/** The patients whose data a task writes. Memory is bounded: 16 MB at most. */
export class PatientCollector {
  readonly #named = new Set<string>();
  /** Hashes as they came; sorted, and without repetitions, when there is no room for more. */
  #hashes = new Float64Array(0);
  #count = 0;
  #tooMany = false;

  add(patients: readonly string[]): void {
    for (const id of patients) {
      if (this.#hashes.length === 0 && (this.#named.size < MAX_NAMED || this.#named.has(id)))
        this.#named.add(id);
      else this.#hash(id);
    }
  }

  /** undefined if it wrote about no patient. */
  get value(): DisclosedPatients | undefined {
    if (this.#tooMany) return ALL_PATIENTS;
    this.#sort();
    const hashes = Buffer.allocUnsafe(this.#count * PATIENT_HASH_BYTES);
    for (let i = 0; i < this.#count; i++)
      hashes.writeUIntBE(this.#hashes[i] as number, i * PATIENT_HASH_BYTES, PATIENT_HASH_BYTES);
    if (this.#named.size + this.#count === 0) return undefined;
    return { all: false, patients: [...this.#named].sort(), hashes };
  }

  #hash(id: string): void {
    if (this.#tooMany) return;
    if (this.#hashes.length === 0) {
      this.#hashes = new Float64Array(4 * MAX_NAMED);
      for (const one of this.#named) this.#push(one);
      this.#named.clear();
    }
    this.#push(id);
  }

  #push(id: string): void {
    if (this.#count === this.#hashes.length) this.#makeRoom();
    if (!this.#tooMany) this.#hashes[this.#count++] = patientHash(id);
  }

  #makeRoom(): void {
    this.#sort();
    if (this.#count > MAX_HASHED) {
      this.#tooMany = true;
      this.#hashes = new Float64Array(1);
    } else if (this.#count > this.#hashes.length / 2) {
      const larger = new Float64Array(2 * this.#hashes.length);
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
  }

  /** Sorts the hashes and leaves out repetitions. */
  #sort(): void {
    const all = this.#hashes.subarray(0, this.#count).sort();
    let kept = 0;
    for (let i = 0; i < all.length; i++) if (i === 0 || all[i] !== all[i - 1]) all[kept++] = all[i] as number;
    this.#count = kept;
  }
}

export const ALL_PATIENTS: DisclosedPatients = { all: true, patients: [], hashes: Buffer.alloc(0) };

/** Whether the export holds every patient, so that the patients of the single resources do not matter. */
export function writesEverything({ task, population }: Pick<TaskRun, 'task' | 'population'>): boolean {
  const types = ['Patient', ...task.ranges.map(({ type }) => type)];
  return task.filter.everyPatient && types.every((type) => population.rights(type) === undefined);
}

/** Notes the patients of each resource that a shape writes. */
export function noting(
  shape: Shape,
  disclosed: PatientCollector,
  codec: Pick<ResourceChangeCodec, 'decode'>,
): Shape {
  return (lines, change) => {
    const written = shape(lines, change);
    if (written && lines !== NOWHERE) disclosed.add(codec.decode(change.bytes).patients);
    return written;
  };
}
