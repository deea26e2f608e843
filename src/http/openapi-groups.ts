import { ALWAYS, answer, fhir } from './openapi-answers.ts';

const query = (name: string, description: string, of: object) => ({
  name,
  in: 'query',
  description,
  schema: of,
});

/** The Groups that a client may export. */
export const GROUP_PATHS = {
  '/fhir/Group': {
    get: {
      tags: ['discovery'],
      operationId: 'listGroups',
      summary: 'The Groups that the client may export',
      parameters: [
        query('_id', 'Only these, with commas between them.', { type: 'string' }),
        query('_count', 'Groups of a page, 200 at most.', { type: 'integer', minimum: 0, default: 20 }),
        query('_after', 'As in the link `next`.', { type: 'string' }),
      ],
      responses: {
        '200': fhir('A searchset Bundle, by id.', {
          type: 'object',
          required: ['resourceType', 'type', 'total', 'link'],
          properties: { resourceType: { const: 'Bundle' }, type: { const: 'searchset' } },
        }),
        '400': answer('Refused'),
        ...ALWAYS,
      },
    },
  },
  '/fhir/Group/{id}': {
    get: {
      tags: ['discovery'],
      operationId: 'readGroup',
      summary: 'One of them',
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      responses: {
        '200': fhir('The Group; without its members if no rule lets the client have Groups as they are.', {
          type: 'object',
          required: ['resourceType'],
          properties: { resourceType: { const: 'Group' } },
        }),
        '404': answer('NotFound'),
        ...ALWAYS,
      },
    },
  },
};
