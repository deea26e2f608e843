import assert from 'node:assert/strict';
import { differences } from '../../../src/log/kafka/topic-difference.ts';

const wanted = { name: 't', partitions: 4, config: { 'cleanup.policy': 'compact' } };
const actual = { name: 't', partitions: 4, config: { 'cleanup.policy': 'compact', 'retention.ms': '5' } };

describe('differences', () => {
  it('finds none where the declared settings hold, whatever else is set', () => {
    assert.deepEqual(differences([wanted], [actual]), []);
  });

  it('names the topic that is not there', () => {
    assert.deepEqual(differences([wanted], []), [
      { kind: 'missing-topic', subject: 't', text: 't does not exist' },
    ]);
  });

  it('names the setting, what it is and what it should be', () => {
    assert.deepEqual(differences([wanted], [{ ...actual, config: { 'cleanup.policy': 'delete' } }]), [
      { kind: 'config', subject: 't', text: 't has cleanup.policy=delete, declared is compact' },
    ]);
  });

  it('names partition counts that differ, unless any count is right', () => {
    assert.deepEqual(differences([wanted], [{ ...actual, partitions: 3 }]), [
      { kind: 'partitions', subject: 't', text: 't has 3 partitions, declared are 4' },
    ]);
    assert.deepEqual(differences([{ ...wanted, partitions: undefined }], [{ ...actual, partitions: 3 }]), []);
  });

  it('does not ask for a topic whose count is open: it is of a type that has come and gone', () => {
    assert.deepEqual(differences([{ ...wanted, partitions: undefined }], []), []);
  });
});
