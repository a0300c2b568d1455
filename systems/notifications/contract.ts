import { z } from 'zod';
import { defineSystem, idSchema } from '../contract.ts';

/** 短信, APP推送, 企业微信, 微信, 邮件, 电话. */
export const channels = ['sms', 'push', 'wecom', 'wechat', 'email', 'phone'] as const;
export type Channel = (typeof channels)[number];

export const notifications = defineSystem({
  name: 'notifications',
  title: { zh: '消息通知', en: 'Notifications' },
  operations: {
    send: {
      title: 'Send one message on one channel',
      args: z.object({
        channel: z.enum(channels),
        to: z.string().min(1).max(300).meta({ description: 'Number, address or account on that channel: personal data' }),
        subject: z.string().max(200).optional().meta({ description: 'E-mail only' }),
        text: z.string().min(1).max(5000),
        messageId: idSchema.meta({ description: 'Our id of the message' }),
      }),
      result: z.object({ providerId: idSchema }),
      // The channel has no such number, address or account.
      errors: ['undeliverable'],
      kind: 'effect',
      repeat: 'keyed',
      // Handed to the provider's queue; but only the outbox calls it, so no workflow waits.
      pace: 'slow',
    },
  },
  events: {},
});
