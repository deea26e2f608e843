import { HeadwaterError } from '../base/errors.ts';
import { isR4Type } from '../fhir/primitives.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import { textOf } from './number-text.ts';
import { indexOf } from './tree-index.ts';
import { descendantsOf } from './tree.ts';
import type { Node } from './tree.ts';

/** A step from elements to elements, or a condition on them. */
type Step = (nodes: readonly Node[]) => readonly Node[];
type Test = (node: Node) => boolean;

const TOKEN = /\s*(?:(\w+)|'([^']*)'|(!=|[.()|[\]=]))/y;
type Token = { readonly kind: 'word' | 'text' | 'sign'; readonly text: string };

/**
 * Compiles the path of a rule: the part of FHIRPath that selects elements. It starts with a resource type, `Resource`, `DomainResource`,
 * `nodesByType('X')` or `nodesByName('x')`, and goes on with names, `[n]`, `first()`, `where(…)`, `ofType(X)`, `as X`, `children()`,
 * `descendants()` and `|`.
 * Source: Microsoft, FHIR data anonymization, "FHIR Path Rules"; FHIRPath 2.0.
 * @throws bad-config that names the path
 */
export function compilePath(path: string): (root: Node) => readonly Node[] {
  const parser = new PathParser(path);
  const step = parser.parse();
  return (root) => [...new Set(step([root]))];
}

class PathParser {
  readonly #path: string;
  readonly #tokens: Token[] = [];
  #at = 0;

  constructor(path: string) {
    this.#path = path;
    TOKEN.lastIndex = 0;
    while (path.slice(TOKEN.lastIndex).trim() !== '') {
      const from = TOKEN.lastIndex;
      const match = TOKEN.exec(path);
      if (!match) throw this.#wrong(`"${path.slice(from)}" is not supported`);
      const [, word, text, sign = ''] = match;
      if (word !== undefined) this.#tokens.push({ kind: 'word', text: word });
      else this.#tokens.push(text === undefined ? { kind: 'sign', text: sign } : { kind: 'text', text });
    }
  }

  parse(): Step {
    const step = this.#union();
    const rest = this.#tokens[this.#at];
    if (rest) throw this.#wrong(`"${rest.text}" is not supported here`);
    return step;
  }

  /** `a | b as X` reads as `a | (b as X)`. */
  #union(): Step {
    const steps = [this.#typed()];
    while (this.#takes('|')) steps.push(this.#typed());
    return (nodes) => steps.flatMap((step) => step(nodes));
  }

  #typed(): Step {
    const step = this.#chain();
    if (!this.#takes('as')) return step;
    const type = ofType(this.#type());
    return (nodes) => type(step(nodes));
  }

  #chain(): Step {
    const steps = [this.#takes('(') ? this.#closed(this.#union()) : this.#start()];
    for (;;) {
      if (this.#takes('.')) steps.push(this.#step());
      else if (this.#takes('[')) {
        const index = Number(this.#word());
        this.#expect(']');
        if (!Number.isSafeInteger(index)) throw this.#wrong('an index is a number');
        steps.push((nodes) => nodes.slice(index, index + 1));
      } else return (nodes) => steps.reduce((found, step) => step(found), nodes);
    }
  }

  #start(): Step {
    const word = this.#word();
    if (word === 'Resource' || word === 'DomainResource') return (nodes) => nodes;
    if (isResourceType(word)) return (nodes) => nodes.filter(({ type }) => type === word);
    if (word !== 'nodesByType' && word !== 'nodesByName')
      throw this.#wrong(
        `a path starts with a resource type, Resource, nodesByType('…') or nodesByName('…'), not "${word}"`,
      );
    this.#expect('(');
    const name = this.#text();
    this.#expect(')');
    if (word === 'nodesByName')
      return (nodes) => nodes.flatMap((node) => indexOf(node).names.get(name) ?? []);
    if (!isR4Type(name)) throw this.#wrong(`FHIR R4 has no type "${name}"`);
    return (nodes) => nodes.flatMap((node) => indexOf(node).types.get(name) ?? []);
  }

  #step(): Step {
    const word = this.#word();
    if (!this.#takes('(')) return (nodes) => childrenOf(nodes).filter(({ name }) => name === word);
    return this.#closed(this.#call(word));
  }

  #call(name: string): Step {
    if (name === 'where') {
      const test = this.#or();
      return (nodes) => nodes.filter(test);
    }
    if (name === 'ofType' || name === 'as') return ofType(this.#type());
    if (name === 'first') return (nodes) => nodes.slice(0, 1);
    if (name === 'children') return childrenOf;
    if (name === 'descendants') return (nodes) => nodes.flatMap((node) => [...descendantsOf(node)]);
    throw this.#wrong(`the function ${name}() is not supported`);
  }

  #or(): Test {
    const tests = [this.#and()];
    while (this.#takes('or')) tests.push(this.#and());
    return (node) => tests.some((test) => test(node));
  }

  #and(): Test {
    const tests = [this.#comparison()];
    while (this.#takes('and')) tests.push(this.#comparison());
    return (node) => tests.every((test) => test(node));
  }

  /** `use = 'home'`, `use != 'home'` or `period.exists()`. */
  #comparison(): Test {
    const steps: Step[] = [];
    do {
      const word = this.#word();
      if (word === 'exists' && steps.length > 0 && this.#takes('(')) {
        this.#expect(')');
        return (node) => valuesOf(steps, node).length > 0;
      }
      steps.push((nodes) => childrenOf(nodes).filter(({ name }) => name === word));
    } while (this.#takes('.'));
    const wanted = this.#takes('=');
    if (!wanted) this.#expect('!=');
    const literal = this.#literal();
    return (node) => {
      const values = valuesOf(steps, node);
      const [value] = values;
      if (value?.value === undefined || values.length !== 1) return false; // empty in FHIRPath
      return (textOf(value.value) === literal) === wanted;
    };
  }

  #literal(): string {
    const token = this.#tokens[this.#at++];
    if (!token || token.kind === 'sign') throw this.#wrong('a text in single quotes is missing');
    return token.text;
  }

  #closed<T>(inner: T): T {
    this.#expect(')');
    return inner;
  }

  #type(): string {
    const type = this.#word();
    if (!isR4Type(type)) throw this.#wrong(`FHIR R4 has no type "${type}"`);
    return type;
  }

  #word(): string {
    const token = this.#tokens[this.#at++];
    if (token?.kind !== 'word') throw this.#wrong(`a name is missing before "${token?.text ?? 'the end'}"`);
    return token.text;
  }

  #text(): string {
    const token = this.#tokens[this.#at++];
    if (token?.kind !== 'text') throw this.#wrong('a text in single quotes is missing');
    return token.text;
  }

  #takes(text: string): boolean {
    const token = this.#tokens[this.#at];
    const takes = token?.text === text && token.kind !== 'text';
    if (takes) this.#at++;
    return takes;
  }

  #expect(sign: string): void {
    if (!this.#takes(sign)) throw this.#wrong(`"${sign}" is missing`);
  }

  #wrong(why: string): HeadwaterError {
    return new HeadwaterError('bad-config', `path ${JSON.stringify(this.#path)}: ${why}`);
  }
}

const childrenOf: Step = (nodes) => nodes.flatMap(({ children }) => children);

function ofType(name: string): Step {
  return (nodes) => nodes.filter(({ type }) => type === name);
}

function valuesOf(steps: readonly Step[], node: Node): readonly Node[] {
  return steps.reduce<readonly Node[]>((nodes, step) => step(nodes), [node]);
}
