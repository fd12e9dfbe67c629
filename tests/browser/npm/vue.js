import {createApp, createSSRApp, h, ref} from "vue";
import {renderToString} from "vue/server-renderer";
import {useSessionGuard} from "sse-trio/vue";

const App = {
  props: ["url"],
  setup({url}) {
    const session = ref("s1");
    const options = () => session.value && {url, room: "u1", ticket: null, session: session.value};
    const status = useSessionGuard(options, ({reason}) => {
      window.reason = reason;
    });
    const onClick = () => {
      session.value = session.value === "s1" ? "s2" : null;
    };
    return () => h("p", {onClick}, `${session.value} ${status.value.state} ${status.value.detail?.epoch} ${status.value.transport}`);
  },
};

export const render = (url) => renderToString(createSSRApp(App, {url}));
export const run = (url, at) => createApp(App, {url}).mount(at);
