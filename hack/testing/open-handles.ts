/** Begins the lines in mocha's output that name what kept it from ending: mocha-open-handles.ts writes them, hack/test reads them. */
export const STILL_OPEN = 'still open after the tests: '
