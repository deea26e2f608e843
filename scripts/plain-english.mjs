// An ESLint plugin for prose: words that make a sentence hard to read, and titles that are too long. STYLE: subject, verb, object.

/** Longest title of a test. */
const MAX_TITLE = 100;

/** Words to avoid in comments, messages and titles, and what to write instead. */
const WORDS = [
  [/\bwhoever\b/i, 'name the actor: "every holder", "the next caller"'],
  [/\bnobody\b/i, '"no member", "no other process", "unknown"'],
  [/\b(?:is|are|was|were|been) told\b|\btold of\b/i, 'say who reports what: "the gateway reports …"'],
  [/\btells? of\b/i, '"names", "reports", "describes"'],
  [/\banew\b/i, '"again"'],
  [/\bfor ever\b/i, '"forever"'],
  [/\bwhom\b/i, 'name the noun: "the patients that …"'],
  [/\bperhaps\b/i, '"maybe", or say what is unknown'],
];

/** A comment that begins with a clause without a noun. */
const HEADLESS = /^[*\s]*(What|Who|Whose|Whom|Whatever|Which|Told|Those|Of|By)\b[^?]*$/;

const rule = {
  meta: {
    type: 'suggestion',
    // With `headless`, comments may not begin with a clause without a noun.
    schema: [{ enum: ['headless'] }],
    messages: {
      word: 'Plain English: instead of "{{word}}" write {{instead}}.',
      headless: 'Begin with a noun or a verb instead of "{{word}}": "The message that …", "Returns …".',
      title: `A title has at most ${MAX_TITLE} characters; this one has {{length}}.`,
    },
  },
  create(context) {
    const check = (text, node) => {
      for (const [pattern, instead] of WORDS) {
        const [word] = pattern.exec(text) ?? [];
        if (word !== undefined) context.report({ loc: node.loc, messageId: 'word', data: { word, instead } });
      }
    };
    return {
      Program() {
        for (const comment of context.sourceCode.getAllComments()) {
          check(comment.value, comment);
          const [, word] = HEADLESS.exec(comment.value) ?? [];
          if (context.options[0] === 'headless' && word !== undefined)
            context.report({ loc: comment.loc, messageId: 'headless', data: { word } });
        }
      },
      Literal(node) {
        if (typeof node.value === 'string' && node.value.includes(' ')) check(node.value, node);
      },
      TemplateElement(node) {
        check(node.value.raw, node);
      },
      'CallExpression[callee.name=/^(it|describe)$/] > .arguments:first-child'(node) {
        const length = typeof node.value === 'string' ? node.value.length : 0;
        if (length > MAX_TITLE) context.report({ node, messageId: 'title', data: { length } });
      },
    };
  },
};

export default { rules: { 'plain-english': rule } };
