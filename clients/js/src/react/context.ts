import { createContext, createElement, type ReactElement, type ReactNode, useContext } from "react";
import type { ProgressClient } from "../types.js";

export const ClientContext = createContext<ProgressClient | null>(null);

/**
 * Gives the hooks below it their client.
 *
 * @example
 * const client = createProgressClient({ url: "/api" });
 * <ProgressProvider client={client}><App /></ProgressProvider>
 */
export function ProgressProvider(props: { client: ProgressClient; children?: ReactNode }): ReactElement {
  return createElement(ClientContext.Provider, { value: props.client }, props.children);
}

/** The client of the provider above; throws where there is none. */
export function useProgressClient(): ProgressClient {
  return required(useContext(ClientContext));
}

export function required(client: ProgressClient | null | undefined): ProgressClient {
  if (client) return client;
  throw new Error("there is no client: put a <ProgressProvider client={…}> above, or give the hook one by its options");
}
