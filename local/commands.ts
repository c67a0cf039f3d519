// The commands that `npm start` offers for a second terminal. No I/O. No line is longer than a terminal is wide: what is
// long goes into shell variables.
import { USER } from "./devices.ts";
import { CONTENT } from "./story.ts";

export interface CommandOptions {
  /** With `/api`, without a slash at the end. */
  readonly api: string;
  readonly issuer: string;
  /** With a slash at the end. */
  readonly hub: string;
  readonly functionKey: string;
  /** Of the story; undefined if it did not get so far. */
  readonly notificationId: string | undefined;
}

export function toCommands({ api, issuer, hub, functionKey, notificationId }: CommandOptions): string {
  const fetchStory =
    notificationId === undefined
      ? ""
      : `
Fetch the notification of the story as ${USER}, whose token is valid for an hour:

${toSignIn("ALICE", USER, issuer)}
  curl -s -w '\\n' $API/notifications/${notificationId} \\
    -H "authorization: Bearer $ALICE"
`;
  return `
Everything runs until Ctrl-C. Go on in another terminal. First, for all that
follows:

  API=${api}
  KEY=${functionKey}

Send ${USER} a notification, as a back end does. Her phone fetches it here:

  curl -s -w '\\n' $API/notifications -H "x-functions-key: $KEY" \\
    -H 'content-type: application/json' \\
    -d '{"to":["${USER}"],"payload":{"text":"Hello"}}'
${fetchStory}
See what the push network got (not "${CONTENT}"):

  curl -s '${hub}$inspect/deliveries'

Be bob, whom the issuer here believes as it believes everybody. He registers a
phone, is sent a notification, and fetches it:

${toSignIn("BOB", "bob", issuer)}
  curl -s -w '\\n' -X PUT $API/installations/bobs-phone \\
    -H "authorization: Bearer $BOB" -H 'content-type: application/json' \\
    -d '{"platform":"fcmv1","pushChannel":"bobs-token"}'
  ID=$(curl -s $API/notifications -H "x-functions-key: $KEY" \\
    -H 'content-type: application/json' \\
    -d '{"to":["bob"],"payload":{"text":"Hello Bob"}}' |
    node -p 'JSON.parse(fs.readFileSync(0)).id')
  curl -s -w '\\n' $API/notifications/$ID -H "authorization: Bearer $BOB"

Read the description of the whole API:

  curl -s -w '\\n' $API/openapi.json

Your data is kept in .local/. The requests to the Functions host follow.
`;
}

function toSignIn(variable: string, user: string, issuer: string): string {
  return `  ${variable}=$(curl -s ${issuer}/token \\
    -d grant_type=password -d username=${user} |
    node -p 'JSON.parse(fs.readFileSync(0)).access_token')`;
}
