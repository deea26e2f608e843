/**
 * Kafka's record batch, format version 2 (KIP-98; layout in Kafka's documentation, "Record Batch"), written and read
 * straight from bytes. A general client makes several objects of every record; replay and capture handle every record of
 * the log, so here a batch is one buffer and an index of positions. This is what writer and reader must agree on.
 */

export const HEADER_BYTES = 61;
export const LENGTH_AT = 8;
export const MAGIC_AT = 16;
export const CRC_AT = 17;
export const ATTRIBUTES_AT = 21;
export const LAST_OFFSET_DELTA_AT = 23;
export const BASE_TIMESTAMP_AT = 27;
export const MAX_TIMESTAMP_AT = 35;
export const PRODUCER_ID_AT = 43;
export const PRODUCER_EPOCH_AT = 51;
export const SEQUENCE_AT = 53;
export const COUNT_AT = 57;

export const TRANSACTIONAL = 0x10;
export const CONTROL = 0x20;
export const CODEC_MASK = 0x07;
export const ZSTD = 4;
