// The app: registers, and receives background pushes (`display: silent`). iOS delivers those when it sees fit, and not at
// all to an app that the user has closed by force: so the app also catches up when it is opened.
import UIKit
import UserNotifications

final class AppDelegate: NSObject, UIApplicationDelegate {
    private var installationId: String {
        if let known = UserDefaults.standard.string(forKey: "installationId") { return known }
        let created = UUID().uuidString
        UserDefaults.standard.set(created, forKey: "installationId")
        return created
    }

    func application(
        _ application: UIApplication,
        didFinishLaunchingWithOptions options: [UIApplication.LaunchOptionsKey: Any]? = nil
    ) -> Bool {
        Task {
            _ = try? await UNUserNotificationCenter.current().requestAuthorization(options: [.alert, .sound, .badge])
            application.registerForRemoteNotifications()
        }
        return true
    }

    func application(_ application: UIApplication, didRegisterForRemoteNotificationsWithDeviceToken token: Data) {
        Task { try? await SecurePush.register(installationId: installationId, deviceToken: token) }
    }

    /// A silent push. It needs the background mode "Remote notifications".
    func application(
        _ application: UIApplication,
        didReceiveRemoteNotification userInfo: [AnyHashable: Any]
    ) async -> UIBackgroundFetchResult {
        guard let id = userInfo["secureId"] as? String else { return .noData }
        switch await SecurePush.fetch(id: id) {
        case .fetched(let notification):
            await show(id: id, title: "New result", body: notification.payload.text)
            return .newData
        case .gone:
            return .noData
        case .signInNeeded, .unavailable:
            await show(id: id, title: "You have a new message", body: "Open the app to read it.")
            return .failed
        }
    }

    /// The ID names the request: a push that is repeated replaces what it showed before.
    private func show(id: String, title: String, body: String) async {
        let content = UNMutableNotificationContent()
        content.title = title
        content.body = body
        content.sound = .default
        try? await UNUserNotificationCenter.current().add(UNNotificationRequest(identifier: id, content: content, trigger: nil))
    }
}
