/**
 * So many workflow tasks at once. Histories are replayed on one thread, at about 1.2 ms an event, and a task is lost after 10 s. Six cases at the policy's limit of 1000
 * events take 7 s together. The SDK's 40 would all be lost, begun anew and lost again: after an outage with a restart the engine would not come back.
 */
export const workflowTasksAtOnce = 6;
