import { HeadwaterError } from '../base/errors.ts';

/** @param subject the part of the request that is refused, such as `_type` */
export function forbidden(subject: string, message: string): HeadwaterError {
  return new HeadwaterError('forbidden', message, { subject });
}

/** @param needed the scope that would do, such as `system/Patient.rs` */
export function insufficientScope(needed: string, message: string): HeadwaterError {
  return new HeadwaterError('insufficient-scope', message, { subject: needed });
}
