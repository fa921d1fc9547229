/** What keeps a component from being built, told so that the author can mend it. No stack is shown for it. */
export class BuildFailure extends Error {
  /** @override */
  name = "BuildFailure";
}
