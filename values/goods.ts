/** Why goods come back: 质量问题、发错货、尺寸不符、七天无理由、其他. The policy has the terms of each; processes hand them to one another. */
export const returnReasons = ['quality', 'wrongItem', 'wrongSize', 'noReason', 'other'] as const;
export type ReturnReason = (typeof returnReasons)[number];
