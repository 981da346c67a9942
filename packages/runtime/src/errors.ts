/** Whose mistake an error is, and so what the reader can do about it. */
export type ErrorKind =
  /** an option, a name or a combination of options */
  | 'config'
  /** a data set's files */
  | 'data'
  /** a packed model file */
  | 'model'
  /** a fault of this program */
  | 'internal';

/**
 * An error a user can act on. Messages read `thing: expected X, got Y; do Z`, in lower case.
 * Everything this project throws on purpose is one of these; anything else is a bug.
 */
export class CbnnError extends Error {
  override readonly name = 'CbnnError';
  constructor(
    readonly kind: ErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(kind === 'internal' ? `internal: ${message}` : message, options);
  }
}

export const configError = (message: string): CbnnError => new CbnnError('config', message);
export const dataError = (message: string): CbnnError => new CbnnError('data', message);
export const modelError = (message: string): CbnnError => new CbnnError('model', message);
export const internalError = (message: string): CbnnError => new CbnnError('internal', message);
