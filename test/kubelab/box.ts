/** For hack/kind: makes the image that tests run, and prints where its archive lies. */
import { buildImages } from './images.ts'

const [, box] = await buildImages()
console.log(box)
