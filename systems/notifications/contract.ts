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
      title: { zh: '发送消息', en: 'Send a message' },
      about: 'Send one message on one channel',
      done: { zh: '已发送消息', en: 'A message was sent' },
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
  words: {
    undeliverable: { zh: '无法送达', en: 'cannot be delivered' },
    sms: { zh: '短信', en: 'SMS' },
    push: { zh: 'APP 推送', en: 'app push' },
    wecom: { zh: '企业微信', en: 'WeCom' },
    wechat: { zh: '微信', en: 'WeChat' },
    email: { zh: '邮件', en: 'e-mail' },
    phone: { zh: '电话', en: 'phone' },
  },
  events: {},
});
