// The Notification Service Extension: iOS starts it for an alert push (`mutable-content`), and shows what it hands back. If
// it does nothing within 30 seconds, iOS shows the generic text that the push brought.
import UserNotifications

final class NotificationService: UNNotificationServiceExtension {
    private var task: Task<Void, Never>?
    private var deliver: (() -> Void)?

    override func didReceive(
        _ request: UNNotificationRequest,
        withContentHandler contentHandler: @escaping (UNNotificationContent) -> Void
    ) {
        let generic = request.content
        deliver = { contentHandler(generic) }
        guard
            let id = generic.userInfo["secureId"] as? String,
            let content = generic.mutableCopy() as? UNMutableNotificationContent
        else { return finish() }
        task = Task {
            if case .fetched(let notification) = await SecurePush.fetch(id: id) {
                content.title = "New result"
                content.body = notification.payload.text
                deliver = { contentHandler(content) }
            }
            finish()
        }
    }

    /// The time is over: the generic text is better than nothing.
    override func serviceExtensionTimeWillExpire() {
        task?.cancel()
        finish()
    }

    private func finish() {
        deliver?()
        deliver = nil  // the handler may be called once
    }
}
