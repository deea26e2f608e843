type Json = unknown;

/** The bases of elements with several types that Synthea's resources and the tests use. */
const CHOICE =
  /^(value|effective|onset|abatement|performed|medication|deceased|multipleBirth|occurrence|serviced|diagnosis|product|location|timing|asNeeded|dose|rate|procedure|collected)(?=[A-Z])(.+)$/;
const PRIMITIVE =
  /^(Base64Binary|Boolean|Canonical|Code|Date|DateTime|Decimal|Id|Instant|Integer|Markdown|Oid|PositiveInt|String|Time|UnsignedInt|Uri|Url|Uuid)$/;
const COMPLEX =
  /^(Address|Age|Attachment|CodeableConcept|Coding|Duration|Identifier|Money|Period|Quantity|Range|Ratio|Reference|SampledData|Timing)$/;
/** Names that look like a choice and are none. */
const PLAIN = new Set(['valueSet', 'locationReference', 'productOrService', 'procedureCode']);

/**
 * FHIR JSON in Aidbox's form, by the rules in its documentation, without any definition of FHIR: only by the names above. Extensions are
 * stored as they come, or, with the setting BOX_FHIR_CORRECT_AIDBOX_FORMAT, as every other element.
 */
export function toAidbox(json: Json, correctExtensions: boolean): Json {
  return convert(json, { isExtension: false, correctExtensions });
}

interface Place {
  readonly isExtension: boolean;
  readonly correctExtensions: boolean;
}

function convert(json: Json, place: Place): Json {
  if (Array.isArray(json)) return json.map((item: Json) => convert(item, place));
  if (typeof json !== 'object' || json === null) return json;
  const given = json as Record<string, Json>;
  const made: Record<string, Json> = {};
  for (const [name, value] of Object.entries(given)) {
    const isExtension = /^(modifierE|e)xtension$/.test(name);
    const inner = isExtension && !place.correctExtensions ? value : convert(value, { ...place, isExtension });
    const [, base = '', suffix = ''] = CHOICE.exec(name) ?? [];
    if (PLAIN.has(name) || !(PRIMITIVE.test(suffix) || COMPLEX.test(suffix))) {
      if (name !== 'reference' || typeof value !== 'string') made[name] = inner;
      else Object.assign(made, reference(value));
    } else made[base] = { [typeOf(suffix)]: inner };
  }
  return made;
}

function typeOf(suffix: string): string {
  return PRIMITIVE.test(suffix) ? `${suffix.charAt(0).toLowerCase()}${suffix.slice(1)}` : suffix;
}

function reference(text: string): object {
  if (text.startsWith('#')) return { localRef: text.slice(1) };
  const [, resourceType, id] = /^([A-Za-z]+)\/([A-Za-z0-9.-]+)$/.exec(text) ?? [];
  return resourceType === undefined ? { uri: text } : { resourceType, id };
}
