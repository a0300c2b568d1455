/** Lets in whoever has a link that holds, to its case. */
import type { Request } from 'express';
import { openLink } from '../../db/links.ts';
import { instant } from '../../values/instant.ts';
import type { AppDeps } from '../deps.ts';
import { Problem } from '../problems.ts';
import type { CustomerCall } from '../route.ts';

export const createDoor =
  ({ pool, links, log }: AppDeps) =>
  async (request: Request): Promise<CustomerCall['customer']> => {
    const { token } = request.params;
    const opened = await openLink(pool, links.keys, typeof token === 'string' ? token : '', instant(Date.now()));
    switch (opened.status) {
      case 'open':
        return { link: opened.link, row: opened.case };
      case 'expired':
      case 'revoked':
        log.info({ link: opened.link.id, case: opened.link.caseId, status: opened.status }, 'a link that no longer holds was used');
        throw new Problem(opened.status === 'expired' ? 'linkExpired' : 'linkRevoked');
      case 'invalid':
        // Nothing of it is logged: what is almost a token is one to whoever made the slip.
        throw new Problem('linkInvalid');
    }
  };
