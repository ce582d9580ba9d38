/** Routes of the kernel: what it says about them, and what it can be asked. */

export * from './fib-info.ts'
export * from './fib-request.ts'
