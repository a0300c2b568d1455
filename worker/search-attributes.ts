/** Registers our search attributes, so that operators can list cases by shop, order or stage. */
import { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { searchAttributes } from '../delivery/temporal.ts';

const { INDEXED_VALUE_TYPE_KEYWORD: keyword } = proto.temporal.api.enums.v1.IndexedValueType;

/** Idempotent: attributes that exist are left alone. Throws when Temporal cannot be reached or refuses. */
export async function registerSearchAttributes(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: '10s' });
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = Object.values(searchAttributes).filter((key) => customAttributes?.[key.name] === undefined);
    if (missing.length > 0)
      await connection.operatorService.addSearchAttributes({ namespace, searchAttributes: Object.fromEntries(missing.map((key) => [key.name, keyword])) });
  } finally {
    await connection.close();
  }
}
