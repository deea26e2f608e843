import type { Rule } from 'eslint';

declare const plugin: { readonly rules: { readonly 'plain-english': Rule.RuleModule } };
export default plugin;
