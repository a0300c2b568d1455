/** Every attack of ours, in the order in which they are made. */
import type { Attack } from './attack.ts';
import { foreignForms, links, otherCasesByLink, wayBack } from './attacks/links.ts';
import { slow } from './attacks/slow.ts';
import { fourEyes, idsOfAnotherShop, listsOfAnotherShop, peopleOfAnotherShop, roleByRole, startsOfAnotherShop } from './attacks/strangers.ts';
import { everyText, shownTexts } from './attacks/texts.ts';
import { noToken, tokens } from './attacks/tokens.ts';
import { addresses, bodies, cursors, guesses, openDoors, requests } from './attacks/transport.ts';
import { refusedUploads, takenUploads } from './attacks/uploads.ts';
import { brokenWebhooks, forgedWebhooks, replayedWebhooks } from './attacks/webhooks.ts';

export const attacks: readonly Attack[] = [
  slow,
  tokens,
  noToken,
  idsOfAnotherShop,
  listsOfAnotherShop,
  startsOfAnotherShop,
  peopleOfAnotherShop,
  roleByRole,
  fourEyes,
  links,
  otherCasesByLink,
  foreignForms,
  wayBack,
  forgedWebhooks,
  replayedWebhooks,
  brokenWebhooks,
  openDoors,
  requests,
  addresses,
  cursors,
  guesses,
  refusedUploads,
  bodies,
  takenUploads,
  shownTexts,
  everyText,
];
