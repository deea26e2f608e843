type Step = (parent: Record<string, unknown>) => unknown;

/** A way from a resource, or from an element, to values inside. Lists on the way are walked through. */
export type ElementPath = readonly Step[];

/** Reads `telecom[system=phone].value`: names, and after a name the value that one of its primitive children must have. */
export function parseElementPath(text: string): ElementPath {
  return text === '' ? [] : text.split('.').flatMap(parseStep);
}

/** Returns the names of the root elements that a path reads. */
export function rootElementsOf(text: string): string[] {
  const [root = ''] = text.split('.');
  return root === '$deceased' ? ['deceasedBoolean', 'deceasedDateTime'] : [root];
}

/** Does `test` hold for a value at the path? Stops at the first one. */
export function someAt(
  value: unknown,
  path: ElementPath,
  test: (value: unknown) => boolean,
  depth = 0,
): boolean {
  if (value === undefined || value === null) return false;
  if (Array.isArray(value)) {
    for (const item of value) if (someAt(item, path, test, depth)) return true;
    return false;
  }
  const step = path[depth];
  if (step === undefined) return test(value);
  return typeof value === 'object' && someAt(step(value as Record<string, unknown>), path, test, depth + 1);
}

function parseStep(text: string): Step[] {
  if (text === '$deceased') return [hasDied];
  const [, name = '', key, wanted] = /^(\w+)(?:\[(\w+)=([\w-]+)\])?$/.exec(text) ?? [];
  const child: Step = (parent) => parent[name];
  return key === undefined ? [child] : [child, (parent) => (parent[key] === wanted ? parent : undefined)];
}

/** The one expression of R4 that is no path: `Patient.deceased.exists() and Patient.deceased != false`. */
function hasDied(patient: Record<string, unknown>): boolean {
  return patient['deceasedBoolean'] === true || typeof patient['deceasedDateTime'] === 'string';
}
