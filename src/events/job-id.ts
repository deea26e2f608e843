const JOB_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether the text can be the id of a job: those are random UUIDs. */
export function isJobId(text: string | undefined): text is string {
  return text !== undefined && JOB_ID.test(text);
}
