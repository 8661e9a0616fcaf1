import { prepareSharedHome } from "./Product.ts"

/** Before the first test that boots guests. */
export default prepareSharedHome
