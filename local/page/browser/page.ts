// The page's entry: connects its columns to the server, the issuer and the devices' workers.
import { completeSignIn } from "../../../clients/web/page/signIn.ts";
import type { NetworkEvent } from "../messages.ts";
import { renderSent, startBackEnd } from "./backEnd.ts";
import { renew, signedIn } from "./deviceActions.ts";
import { renderDevices } from "./deviceCards.ts";
import { createClients, deliver, DEVICES, type Devices, startDevices } from "./devices.ts";
import { byId } from "./dom.ts";
import { renderEvidence } from "./evidence.ts";
import { loadModel, saveModel } from "./model.ts";
import { getSettings, listen, post } from "./server.ts";
import { renderTimeline } from "./timeline.ts";

void start();

async function start(): Promise<void> {
  const model = loadModel(DEVICES.map(({ id }) => id));
  renderTimeline(model);
  renderSent(model);
  renderEvidence(model);
  const settings = await getSettings();
  const clients = await createClients(settings);
  const changed = () => {
    saveModel(model);
    renderSent(model);
    renderEvidence(model);
    renderDevices(devices);
  };
  const log = (who: string, what: string) => {
    model.timeline.push({ at: Date.now(), who, what });
    saveModel(model);
    renderTimeline(model);
  };
  const devices: Devices = { model, settings, clients, log, changed };
  startDevices(devices);
  startBackEnd({ model, log, changed });
  startSwitch(settings.isNetworkAway);
  listen((event) => handleEvent(devices, event));
  byId("clear").addEventListener("click", () => {
    model.timeline.splice(0);
    saveModel(model);
    renderTimeline(model);
  });
  renderDevices(devices);
  const session = await completeSignIn(settings.signIn);
  if (session === undefined) await renew(devices);
  else await signedIn(devices, session.returnTo, session.accessToken, session.userId);
}

function handleEvent(devices: Devices, event: NetworkEvent): void {
  const { model, log, changed } = devices;
  switch (event.type) {
    case "travelled":
      model.travelled = [
        event.travelled,
        ...model.travelled.filter(({ network }) => network !== event.travelled.network),
      ].toSorted((one, other) => one.network.localeCompare(other.network));
      changed();
      break;
    case "pushed":
      deliver(devices, event.deviceId, event.text);
      break;
    case "refused":
      log(event.network, "refuses a push: it is away (503)");
      break;
    case "switched":
      showSwitch(event.isAway);
      log("Push networks", event.isAway ? "are away" : "are back");
      break;
  }
}

function startSwitch(isAway: boolean): void {
  showSwitch(isAway);
  const button = byId("network-switch");
  button.addEventListener("click", () => {
    const wasOn = button.getAttribute("aria-checked") === "true";
    void post("/network", { isAway: wasOn });
  });
}

function showSwitch(isAway: boolean): void {
  byId("network-switch").setAttribute("aria-checked", String(!isAway));
  byId("network-note").textContent = isAway
    ? "They answer 503 now. Send: the receipt says pending. Switch them on, and it becomes accepted."
    : "Switch them off: the service keeps what it accepted, and pushes it later.";
}
