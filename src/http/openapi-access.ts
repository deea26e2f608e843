import { json } from './openapi-answers.ts';
import type { Answer } from './openapi-answers.ts';

const TEXT = { type: 'string' } as const;

const token: Answer = json('The access token.', {
  type: 'object',
  required: ['access_token', 'token_type', 'expires_in', 'scope'],
  properties: {
    access_token: TEXT,
    token_type: { const: 'bearer' },
    expires_in: { type: 'integer', minimum: 30, maximum: 300 },
    scope: TEXT,
  },
});

const refusal = (description: string): Answer =>
  json(description, {
    type: 'object',
    required: ['error'],
    properties: { error: TEXT, error_description: TEXT },
  });

const FORM = {
  type: 'object',
  required: ['grant_type', 'client_assertion_type', 'client_assertion', 'scope'],
  properties: {
    grant_type: { const: 'client_credentials' },
    client_assertion_type: { const: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' },
    client_assertion: { type: 'string', maxLength: 8192 },
    scope: { type: 'string', examples: ['system/*.rs'] },
    client_id: TEXT,
  },
} as const;

const configuration = (operationId: string) => ({
  get: {
    tags: ['discovery'],
    operationId,
    summary: 'Get the SMART configuration, which names the token endpoint',
    security: [],
    responses: { '200': json('The configuration.', { type: 'object' }) },
  },
});

/** The paths that only a server with an access file has. */
export const ACCESS_PATHS = {
  '/.well-known/smart-configuration': configuration('smartConfiguration'),
  '/fhir/.well-known/smart-configuration': configuration('smartConfigurationOfBase'),
  '/fhir/auth/token': {
    post: {
      tags: ['export'],
      operationId: 'issueToken',
      summary: 'Get an access token (SMART Backend Services)',
      security: [],
      requestBody: { required: true, content: { 'application/x-www-form-urlencoded': { schema: FORM } } },
      responses: {
        '200': token,
        '400': refusal('The form or the scope is wrong.'),
        '401': refusal('The client could not be authenticated. The answer gives no reason.'),
      },
    },
  },
};

export const SECURITY_SCHEMES = {
  token: {
    type: 'http',
    scheme: 'bearer',
    description: 'An access token from /fhir/auth/token or from an external issuer of the access file.',
  },
};
