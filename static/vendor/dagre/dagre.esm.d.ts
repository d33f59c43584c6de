// Not of the package: what js/graph/layout.js uses of it, for the type check, which does not look into it.
export const Graph: any;
export const layout: any;
