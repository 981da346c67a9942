/** Where Chromium is; undefined where it is not. */
export const chromium: string | undefined;

export interface Pages {
  readonly address: string;
  close(): void;
  visit(
    path: string,
    options?: { flags?: readonly string[]; milliseconds?: number; isolated?: boolean },
  ): Promise<string>;
}

export function servePages(content: (path: string) => string | Uint8Array | null): Promise<Pages>;
