import assert from 'node:assert/strict';
import { differences } from '../../../../src/log/kafka/admin/topic-difference.ts';

const wanted = { name: 't', partitions: 4, replicas: 3, config: { 'cleanup.policy': 'compact' } };
const actual = {
  name: 't',
  partitions: 4,
  replicas: 3,
  config: { 'cleanup.policy': 'compact', 'retention.ms': '5' },
};

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

  it('names a topic with too few copies, and none with more than declared', () => {
    const [difference] = differences([wanted], [{ ...actual, replicas: 1 }]);
    assert.equal(difference?.kind, 'replicas');
    assert.match(difference.text, /t has 1 of 3 copies/);
    assert.deepEqual(differences([wanted], [{ ...actual, replicas: 5 }]), []);
  });

  it('leaves it to the operator to have more copies written than is declared, not fewer', () => {
    const declared = { ...wanted, config: { 'min.insync.replicas': '2' } };
    const kindsWith = (value: string): string[] =>
      differences([declared], [{ ...actual, config: { 'min.insync.replicas': value } }]).map(
        ({ kind }) => kind,
      );
    assert.deepEqual(kindsWith('3'), []);
    assert.deepEqual(kindsWith('1'), ['config']);
  });

  for (const codec of ['lz4', 'snappy']) {
    it(`names a topic whose records are compressed with ${codec}`, () => {
      const found = differences(
        [wanted],
        [{ ...actual, config: { ...actual.config, 'compression.type': codec } }],
      );
      assert.deepEqual(
        found.map(({ kind }) => kind),
        ['compression'],
      );
      assert.match(found[0]?.text ?? '', new RegExp(`t has compression.type=${codec}`));
    });
  }

  it('does not ask for a topic whose count is open: it is of a type that has come and gone', () => {
    assert.deepEqual(differences([{ ...wanted, partitions: undefined }], []), []);
  });
});
