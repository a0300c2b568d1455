/** Small photos and videos that are what they claim. */
import { randomBytes } from 'node:crypto';

/** A JPEG of so many bytes, each one its own; its picture is noise. */
export const jpeg = (bytes: number): Buffer =>
  Buffer.concat([Buffer.from('ffd8ffe000104a46494600010100000100010000', 'hex'), randomBytes(bytes - 22), Buffer.from('ffd9', 'hex')]);

/** One transparent pixel. */
export const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

/** An MP4 of so many bytes: its head, and what says nothing. */
export const mp4 = (bytes: number): Buffer => Buffer.concat([Buffer.from('00000018667479706d703432000000006d70343269736f6d', 'hex'), randomBytes(bytes - 24)]);
