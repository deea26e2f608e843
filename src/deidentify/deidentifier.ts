import { createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import type { Config, DateShiftScope, Rule } from './config.ts';
import { daysOf } from './days.ts';
import { compileCases } from './generalize.ts';
import type { Generalize } from './generalize.ts';
import { keysOf } from './keys.ts';
import type { Keys } from './keys.ts';
import { withLabels } from './labels.ts';
import { cryptoHash, dateShift, encrypt, perturb, redact, substituted } from './methods.ts';
import type { Change, Operation, Scene } from './methods.ts';
import { parseWithNumbers, textOf } from './number-text.ts';
import { compilePath } from './path.ts';
import { descendantsOf, treeOf } from './tree.ts';
import type { Node } from './tree.ts';
import { writtenOf } from './written.ts';

/** The facts about an export and a resource, besides its content. */
interface DeidentifyContext {
  /** The cut of the export, in ms since 1970. Ages are counted at this time. */
  readonly at: number;
  /** Ids of the patients in whose compartments the resource is. */
  readonly patients: readonly string[];
}

interface CompiledRule {
  readonly rule: Rule;
  readonly select: (root: Node) => readonly Node[];
  readonly generalize: Generalize | undefined;
}

interface Work {
  readonly scene: Scene;
  readonly operations: Set<Operation>;
}

/** De-identifies resources as a configuration says. The same version of a resource and the same cut give the same bytes. */
export class Deidentifier {
  readonly #config: Config;
  readonly #keys: Keys;
  readonly #scope: DateShiftScope;
  readonly #rules: readonly CompiledRule[];
  /** Made once, because it takes longer than a hash. */
  readonly #hashKey: KeyObject;

  private constructor(config: Config, keys: Keys, scope: DateShiftScope, rules: readonly CompiledRule[]) {
    this.#config = config;
    this.#keys = keys;
    this.#scope = scope;
    this.#rules = rules;
    this.#hashKey = createSecretKey(keys.cryptoHash ?? Buffer.alloc(0));
  }

  /**
   * Compiles a configuration.
   * @param options `place` names the configuration in errors; `scope` overrides the scope in the file
   * @throws bad-config for a path that is not supported, a missing key, a key of the wrong length
   */
  static async of(
    config: Config,
    given: Keys,
    options: { readonly place: string; readonly scope?: DateShiftScope | undefined },
  ): Promise<Deidentifier> {
    const { place, scope = config.parameters.dateShiftScope } = options;
    const keys = keysOf(config, given, place);
    const rules: CompiledRule[] = [];
    for (const [index, rule] of config.rules.entries()) {
      try {
        const generalize = rule.method === 'generalize' ? await compileCases(rule.cases ?? {}) : undefined;
        rules.push({ rule, select: compilePath(rule.path), generalize });
      } catch (error) {
        throw new HeadwaterError('bad-config', `${place}: fhirPathRules.${index}: ${messageOf(error)}`);
      }
    }
    return new Deidentifier(config, keys, scope, rules);
  }

  /**
   * Returns the JSON of a resource without what identifies its subject. Members that R4 does not define are left out.
   * @throws corrupt for a text that is not a resource of R4, unless the configuration skips these
   */
  apply(json: string, context: DeidentifyContext): string {
    let resource: unknown;
    try {
      resource = parseWithNumbers(json);
      return JSON.stringify(this.#applied(resource, context));
    } catch (error) {
      if (this.#config.onError === 'skip') return JSON.stringify(emptyOf(resource));
      // The message of a parser quotes the resource.
      throw error instanceof HeadwaterError
        ? error
        : new HeadwaterError('corrupt', 'it cannot be de-identified');
    }
  }

  /** Returns the key of a resource, as `Type/id`, after de-identification; undefined if the id is removed. */
  keyOf(key: string, at: number): string | undefined {
    const [resourceType = '', id = ''] = key.split('/');
    const named = JSON.parse(this.apply(JSON.stringify({ resourceType, id }), { at, patients: [] })) as {
      readonly id?: unknown;
    };
    return typeof named.id === 'string' ? `${resourceType}/${named.id}` : undefined;
  }

  #applied(resource: unknown, { at, patients }: DeidentifyContext): unknown {
    const { root, hasUnknown } = treeOf(resource);
    const id = idOf(root);
    const folder = new Date(at).toISOString();
    const shift = { scope: this.#scope, key: this.#keys.dateShift ?? Buffer.alloc(0) };
    const days = daysOf(this.#config, shift, { id, patients, folder });
    const scene: Scene = { at, days, resource: `${root.type}/${id}` };
    const operations = this.#resource(root, scene);
    if (hasUnknown) operations.add('redact');
    return labelled(root, operations) ?? emptyOf(resource);
  }

  /** Resources within have the rules of their own type. Contained ones carry no labels (R4, dom-5). */
  #resource(root: Node, scene: Scene): Set<Operation> {
    const operations = new Set<Operation>();
    const inner = [...descendantsOf(root)].filter(({ isResource }) => isResource);
    for (const compiled of this.#rules) {
      for (const node of compiled.select(root)) this.#touch(node, compiled, { scene, operations });
    }
    for (const node of inner) {
      const own = this.#resource(node, scene);
      if (node.name === 'contained') for (const operation of own) operations.add(operation);
      else if (node.replacement === undefined) node.replacement = labelled(node, own);
    }
    return operations;
  }

  /** The first rule that touches an element wins, for all that is in it. */
  #touch(node: Node, compiled: CompiledRule, work: Work): void {
    if (node.done) return;
    node.done = true;
    const { rule } = compiled;
    if (rule.method === 'substitute') {
      node.replacement = substituted(node.value, rule.replaceWith);
      for (const inner of descendantsOf(node)) inner.done = true;
      work.operations.add('substitute');
      return;
    }
    if (node.value !== undefined) {
      const change = this.#changeOf(node, node.value, compiled, work.scene);
      if (change) {
        node.value = change.value;
        work.operations.add(change.operation);
      }
    }
    for (const child of node.children) if (!child.isResource) this.#touch(child, compiled, work);
  }

  #changeOf(
    node: Node,
    value: NonNullable<Node['value']>,
    { rule, generalize }: CompiledRule,
    scene: Scene,
  ): Change {
    const { parameters } = this.#config;
    const { encrypt: encryptKey = Buffer.alloc(0) } = this.#keys;
    switch (rule.method) {
      case 'redact':
        return redact(node, value, parameters, scene.at);
      case 'dateShift':
        return dateShift(node, value, parameters, scene);
      case 'cryptoHash':
        return cryptoHash(node, value, this.#hashKey);
      case 'encrypt':
        return encrypt(node, value, encryptKey, scene);
      case 'perturb':
        return perturb(node, value, rule, this.#keys, scene);
      case 'generalize': {
        const general = generalize?.(value, node.type);
        if (general !== undefined) return { value: general, operation: 'generalize' };
        return rule.otherValues === 'keep' ? undefined : { operation: 'redact' };
      }
      default:
        return undefined;
    }
  }
}

function idOf({ children }: Node): string {
  const id = children.find(({ name }) => name === 'id')?.value;
  return id === undefined ? '' : textOf(id);
}

/** undefined if nothing is left of the resource. */
function labelled(node: Node, operations: ReadonlySet<Operation>): Record<string, unknown> | undefined {
  const json = writtenOf(node);
  return isObject(json) ? withLabels(json, operations) : undefined;
}

function emptyOf(resource: unknown): unknown {
  const { resourceType } = Object(resource) as { resourceType?: unknown };
  return withLabels({ resourceType }, new Set<Operation>(['redact']));
}
