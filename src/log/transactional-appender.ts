import type { NewRecord } from './log.ts';

/** Appends records in transactions: all or nothing. One append at a time. */
export interface TransactionalAppender {
  /** One Kafka transaction: all records are stored when it resolves. After an error close it, open another and read what is stored. */
  append(records: readonly NewRecord[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the one appender of a transactional id: any earlier one is fenced (its appends throw `fenced`), and what it had
 * begun is decided by the time this resolves.
 */
export type OpenTransactionalAppender = (transactionalId: string) => Promise<TransactionalAppender>;
