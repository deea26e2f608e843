/** The kinds of FHIR servers whose database can be followed: `src/capture/presets` has one folder for each. */
export const PRESETS = [
  'headwater',
  'columns',
  'hfs',
  'wso2',
  'hapi',
  'medplum',
  'aidbox',
  'fhirbase',
] as const;
export type PresetName = (typeof PRESETS)[number];
